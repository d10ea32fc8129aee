"""Which kinds of services there are, and what is known of their models without asking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from server.domain.connections import Connection, ProviderKind
from server.domain.ids import ID_LENGTH
from server.domain.models import ModelInfo
from server.providers import gemini_models, openai_models
from server.providers.remote import RemoteProvider
from server.services.connection_views import ProviderView

_NO_ID = "0" * ID_LENGTH
_NO_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_KNOWN: Mapping[ProviderKind, Sequence[str]] = {
    ProviderKind.GEMINI: tuple(gemini_models.KNOWN),
    ProviderKind.OPENAI: tuple(openai_models.KNOWN),
    ProviderKind.GREENROOM: (),  # each has its own
}


async def kinds(make: Callable[[Connection, None], RemoteProvider]) -> tuple[ProviderView, ...]:
    """Return every kind of service. Nothing is asked of any."""
    return tuple([await _kind(kind, make) for kind in ProviderKind])


async def _kind(
    kind: ProviderKind, make: Callable[[Connection, None], RemoteProvider]
) -> ProviderView:
    infos: list[ModelInfo] = []
    for model in _KNOWN[kind]:
        infos += await make(_example(kind, model), None).models()
    return ProviderView(
        kind=kind,
        needs_base_url=kind is ProviderKind.GREENROOM,
        needs_key=_example(kind, "any").needs_key,
        models=tuple(infos),
    )


def _example(kind: ProviderKind, model: str) -> Connection:
    """Return a connection that is nobody's, named like its model."""
    return Connection(
        id=_NO_ID,
        name=model,
        provider=kind,
        model=model,
        has_key=False,
        created_at=_NO_TIME,
        updated_at=_NO_TIME,
    )
