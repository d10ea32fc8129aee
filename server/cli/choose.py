"""Who draws: a server that was named, the one that runs here, or this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from server.cli.presence import running_server
from server.settings import admin_token

if TYPE_CHECKING:
    from server.cli.drawing import Drawer
    from server.cli.wish import Wish
    from server.settings import Settings


@asynccontextmanager
async def drawer_for(wish: Wish, settings: Settings) -> AsyncIterator[Drawer]:
    """Open whoever draws.

    The server of this data folder is trusted with the admin's key, since only its own process
    can hold the folder's lock. Any other server needs --key.
    """
    local = running_server(settings.data_dir)
    url = wish.server or local
    if url is None:
        from server.cli.connections_open import refuse_connection
        from server.cli.local import local_drawer

        await refuse_connection(settings, wish.options.get("model"))
        async with local_drawer(settings) as here:
            yield here
        return
    from server.cli.remote import remote_drawer

    key = wish.key or (admin_token(settings) if url.rstrip("/") == local else None)
    async with remote_drawer(url, key) as there:
        yield there
