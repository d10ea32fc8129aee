"""Connections: the remote services that the owner has let this server use, and with what."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from server.domain.images import Frozen, Id, ModelId, ParameterValue
from server.domain.money import Money


class ProviderKind(StrEnum):
    """The services that are spoken to; each is a module of `server.providers`."""

    GEMINI = "gemini"
    OPENAI = "openai"  # and any server that speaks OpenAI's images API: give its address
    GREENROOM = "greenroom"


BaseUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+$", max_length=500)]
RemoteModel = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^\S+$")]


class Connection(Frozen):
    """A remote model under a name of its own; requests and chains name it like any model.

    The key is not here: nothing that is shown, logged or exported can hold it.

    Attributes:
        name: what `model` says to draw with it; unique beside the registry's models.
        model: the service's own id of the model, as typed or as it lists it.
        base_url: None: the service's own address.
        parameters: defaults for requests that do not say otherwise, by our names.
        is_active: whether requests and chains may use it.
        is_trusted: another server of the same people: `fallback: local` includes it.
        takes_pictures: whether start pictures, masks, references and characters may be sent there.
        concurrency: most calls at once.
        position: order in lists; smaller is first.
    """

    id: Id
    name: ModelId
    provider: ProviderKind
    model: RemoteModel
    base_url: BaseUrl | None = None
    parameters: dict[str, ParameterValue] = Field(default_factory=dict)
    is_active: bool = True
    is_trusted: bool = False
    takes_pictures: bool = False
    concurrency: int = Field(default=4, ge=1, le=64)
    position: int = 0
    has_key: bool
    created_at: datetime
    updated_at: datetime


class RemoteModelInfo(Frozen):
    """A model as the service lists it."""

    id: RemoteModel
    name: str
    price: Money | None = None  # of one picture of the usual size, where the service says it


class Check(Frozen):
    """What a real call with the key found out. `balance` is None where the service tells none."""

    models: tuple[RemoteModelInfo, ...]
    balance: Money | None
    limits: tuple[str, ...]  # in words
    seconds: float
