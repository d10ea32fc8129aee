"""From a connection to the provider that speaks to its service."""

from __future__ import annotations

import httpx2

from server.domain.connections import Connection, ProviderKind
from server.providers import gemini, greenroom, openai
from server.providers.gemini import GeminiProvider
from server.providers.greenroom import GreenroomProvider
from server.providers.openai import OpenAIProvider
from server.providers.remote import Fetch, LoadSource, RemoteProvider


def make_provider(
    connection: Connection,
    *,
    key: str | None,
    client: httpx2.AsyncClient,
    fetch: Fetch,
    load_source: LoadSource,
    seconds: float | None = None,
) -> RemoteProvider:
    """Return the provider of `connection`; nothing is opened or asked yet.

    Args:
        connection: which service, which model, where.
        key: its decrypted key; None: it has none.
        client: the shared pool, see `http.make_client`.
        fetch: gets addresses that a service names, such as `SafeFetcher().get`.
        load_source: from the id of an upload or picture to its file.
        seconds: most time for one call that draws; None: what suits the service.

    Raises:
        InvalidRequestError: the connection lacks what its service needs.
    """
    if connection.provider is ProviderKind.GEMINI:
        return GeminiProvider(
            connection,
            key=key,
            client=client,
            load_source=load_source,
            seconds=seconds or gemini.SECONDS,
        )
    if connection.provider is ProviderKind.GREENROOM:
        return GreenroomProvider(
            connection,
            key=key,
            client=client,
            load_source=load_source,
            seconds=seconds or greenroom.SECONDS,
        )
    return OpenAIProvider(
        connection,
        key=key,
        client=client,
        fetch=fetch,
        load_source=load_source,
        seconds=seconds or openai.SECONDS,
    )
