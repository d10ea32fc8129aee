"""A server that speaks OpenAI's images API as far as connections need it, on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# As https://platform.openai.com/docs/api-reference/models/list documents them.
MODELS = {
    "object": "list",
    "data": [
        {"id": "gpt-image-1.5", "object": "model", "created": 1765000000, "owned_by": "system"},
        {"id": "painter-xl", "object": "model", "created": 1765000000, "owned_by": "us"},
    ],
}


def wrong_key(said: str) -> dict[str, Any]:
    """The error that OpenAI answers a wrong key with."""
    return {
        "error": {
            "message": f"Incorrect API key provided: {said}.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }


@dataclass
class RemoteService:
    """What the server takes and answers; tests change it as they go.

    Attributes:
        key: the one that is taken.
        status: of every answer; 200: what is asked for.
        repeats_key: answers repeat the key that was sent, in every way they can.
        seen: the Authorization header of every request.
    """

    key: str = "sk-good"
    status: int = 200
    repeats_key: bool = False
    seen: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, authorization: str) -> tuple[int, Any]:
        """Return status and body for a request with this header."""
        self.seen.append(authorization)
        sent = authorization.removeprefix("Bearer ")
        if self.status != 200:
            return self.status, wrong_key(f"{sent} ({sent})") if self.repeats_key else {}
        if sent != self.key:
            return 401, wrong_key(sent if self.repeats_key else "sk-***")
        return 200, MODELS


@contextmanager
def remote_service() -> Iterator[RemoteService]:
    """Run one on a free port."""
    service = RemoteService()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.headers.get("Authorization", "")
            status, body = service.answer(sent)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if service.repeats_key:
                self.send_header("X-Request-Id", sent)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        service.url = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
