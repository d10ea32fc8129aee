"""Connections: the remote services that the owner has let this server use, and with what."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    RootModel,
    SecretStr,
    StringConstraints,
)

from server.domain.images import Frozen, Id, ModelId, ParameterValue
from server.domain.money import Money


class ProviderKind(StrEnum):
    """The services that are spoken to; each is a module of `server.providers`."""

    GEMINI = "gemini"
    OPENAI = "openai"  # and any server that speaks OpenAI's images API: give its address
    GREENROOM = "greenroom"


def _is_usable(url: str) -> str:
    """Return an address that a client can be given, whatever is at its other end."""
    parts = urlsplit(url)  # raises where brackets hold no IPv6 address
    if parts.port == 0:  # likewise for a port above 65535
        raise ValueError("no server listens at port 0")
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError as error:
        raise ValueError("the host's name has an empty or too long part") from error
    return url


# Without user and password: an address is shown and exported, secrets are not. A name in another
# script is written as people's browsers send it: xn--...
_HOST = r"([a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])"
BaseUrl = Annotated[
    str,
    StringConstraints(
        pattern=rf"^https?://{_HOST}(:[0-9]{{1,5}})?(/[!-\x22$->@-~]*)?$", max_length=500
    ),
    AfterValidator(_is_usable),
]
_MOST_KEY_CHARACTERS = 4096
DEFAULT_CONCURRENCY = 4
RemoteModel = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^\S+$")]


class Parameters(RootModel[dict[str, ParameterValue]]):
    """Values by a model's own names for its parameters, as one value that can be stored."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


def _is_sendable(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if not 1 <= len(text) <= _MOST_KEY_CHARACTERS or not all("!" <= c <= "~" for c in text):
        raise ValueError("a key is 1 to 4096 printable ASCII characters without spaces")
    return key


# What is sent as a header: nothing in it can begin another one.
ProviderKey = Annotated[SecretStr, AfterValidator(_is_sendable)]


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
    concurrency: int = Field(default=DEFAULT_CONCURRENCY, ge=1, le=64)
    position: int = 0
    has_key: bool
    created_at: datetime
    updated_at: datetime

    @property
    def needs_key(self) -> bool:
        """Whether the service takes nobody without a key; a server of one's own may."""
        return self.provider is not ProviderKind.OPENAI or self.base_url is None

    @property
    def destination(self) -> tuple[str, ...]:
        """What the key is sent to: a service, and the server where one is named."""
        if self.base_url is None:
            return (self.provider.value,)
        url = urlsplit(self.base_url)
        return self.provider.value, url.scheme, url.netloc.lower()


class PortableConnection(Frozen):
    """What its owner says of a connection, but for the key: this is exported and imported."""

    name: ModelId = Field(description="What requests and chains call it; no model has this name")
    provider: ProviderKind
    model: RemoteModel = Field(description="The service's own id of the model")
    base_url: BaseUrl | None = Field(
        default=None, description="Absent: the service's own address; a Greenroom needs one"
    )
    parameters: dict[str, ParameterValue] = Field(
        default_factory=dict, max_length=64, description="Defaults for requests, by our names"
    )
    is_active: bool = True
    is_trusted: bool = Field(
        default=False, description="A server of the same people: `fallback: local` includes it"
    )
    takes_pictures: bool = Field(
        default=False, description="Whether pictures and references may be sent there"
    )
    concurrency: int = Field(default=DEFAULT_CONCURRENCY, ge=1, le=64)


class ConnectionWish(PortableConnection):
    """A connection to make."""

    key: ProviderKey | None = Field(default=None, description="Kept encrypted, never shown")


class ConnectionChange(Frozen):
    """What to change; what is absent stays as it is. A null takes `base_url` or `key` away."""

    name: ModelId | None = None
    provider: ProviderKind | None = None
    model: RemoteModel | None = None
    base_url: BaseUrl | None = None
    key: ProviderKey | None = None
    parameters: dict[str, ParameterValue] | None = Field(default=None, max_length=64)
    is_active: bool | None = None
    is_trusted: bool | None = None
    takes_pictures: bool | None = None
    concurrency: int | None = Field(default=None, ge=1, le=64)


class ConnectionsFile(Frozen):
    """All connections of a server in order, without a key, to be imported elsewhere."""

    type: Literal["greenroom-connections"]
    version: Literal[1]
    connections: tuple[PortableConnection, ...] = Field(max_length=1000)


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
