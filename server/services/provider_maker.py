"""Makes the providers of all connections, which share one pool of network connections."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from pydantic import SecretStr

from server.domain.connections import Connection
from server.net.fetch import SafeFetcher
from server.providers.factory import make_provider
from server.providers.http import make_client
from server.providers.remote import LoadSource, RemoteProvider


class ProviderMaker:
    """A context: at its end the pool is closed.

    Args:
        load_source: from the id of an upload or picture to its file.
    """

    def __init__(self, load_source: LoadSource) -> None:
        self._load_source = load_source
        self._client = make_client()
        self._fetcher = SafeFetcher()

    def __call__(self, connection: Connection, key: SecretStr | None) -> RemoteProvider:
        """Return the provider of `connection`; nothing is asked yet."""
        return make_provider(
            connection,
            key=None if key is None else key.get_secret_value(),
            client=self._client,
            fetch=self._fetcher.get,
            load_source=self._load_source,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()
