"""A connection as a model: what draws for it, what it takes, and why it cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.domain.connections import Connection, ProviderKind
from server.domain.errors import InvalidRequestError
from server.domain.images import ParameterValue
from server.domain.models import Family, ModelInfo, Task
from server.domain.options import check_value
from server.providers.remote import RemoteProvider


@dataclass(frozen=True, slots=True)
class Remote:
    """An active connection.

    Attributes:
        made: its provider, which knows what its model takes even if it has no key.
        info: what its model takes; None: the service has to be asked, and did not tell yet.
        key_problem: why it must not be called, if it must not.
        silence: why its service does not tell what the model takes, if it does not.
    """

    connection: Connection
    made: RemoteProvider
    info: ModelInfo | None
    key_problem: str | None
    silence: str | None = None

    @property
    def name(self) -> str:
        """What requests and chains call it."""
        return self.connection.name

    @property
    def is_free(self) -> bool:
        """Whether drawing there costs no money: it belongs to the same people."""
        return self.connection.is_trusted

    @property
    def resends_safely(self) -> bool:
        """Whether the same call sent again is known there, and not drawn twice."""
        return self.connection.provider is ProviderKind.GREENROOM

    @property
    def provider(self) -> RemoteProvider | None:
        """What draws; None: it must not be called."""
        return self.made if self.key_problem is None else None

    @property
    def reason(self) -> str | None:
        """Why nothing can be drawn now, None where something can."""
        if self.info is None:
            return self.key_problem or self.silence or "the service is being asked what it takes"
        return self.key_problem

    @property
    def declared(self) -> ModelInfo:
        """What its model takes, nothing as long as that is not known."""
        return self.info or _undeclared(self.connection)


def check_defaults(info: ModelInfo, defaults: Mapping[str, ParameterValue]) -> None:
    """Refuse defaults that a model does not take.

    Raises:
        InvalidRequestError, RequestRefusedError: the message names the parameter.
    """
    known = {p.name: p for p in (*info.parameters, *(info.remote.options if info.remote else ()))}
    for name, value in defaults.items():
        if name not in known:
            raise InvalidRequestError(
                f"model '{info.name}' has no parameter '{name}'; it has "
                f"{', '.join(known) or 'none'}",
                parameter="parameters",
            )
        check_value(value, known[name], info.name, parameter="parameters")


def _undeclared(connection: Connection) -> ModelInfo:
    return ModelInfo(
        id=connection.name,
        name=connection.model,
        family=Family.REMOTE,
        task=Task.TEXT,
        provider=connection.provider.value,
        description="Its service did not tell yet what it takes",
        specialties=(),
        licence="the service's terms",
        gated=False,
        demonstration=False,
        needs_vram_gib=None,
        parameters=(),
        sizes=(),
        size_multiple=8,
        max_pixels=0,
        styles=(),
    )
