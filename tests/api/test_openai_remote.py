"""The `openai` SDK on one side, a service on the other: this server stands between them."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import openai
import pytest
from PIL import Image

from tests.api.conftest import Running
from tests.api.pictures import opened, png
from tests.api.test_connections import delete_all, make


@dataclass
class Studio:
    """A service that draws one colour; every part of the forms that it was sent is in `asked`."""

    url: str = ""
    asked: list[tuple[str, dict[str, list[bytes]]]] = field(default_factory=list)


@contextmanager
def a_studio() -> Iterator[Studio]:
    studio = Studio()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            studio.asked.append((self.path, parts(self.headers["Content-Type"], body)))
            count = int(studio.asked[-1][1].get("n", [b"1"])[0])
            one = {"b64_json": base64.b64encode(png(1024, 1024)).decode()}
            data = json.dumps({"created": 1, "data": [one] * count}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        studio.url = f"http://127.0.0.1:{running.server_port}/v1"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield studio
        finally:
            running.shutdown()
            thread.join()


def parts(kind: str, body: bytes) -> dict[str, list[bytes]]:
    """Return the fields of a form by name."""
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    found: dict[str, list[bytes]] = {}
    for part in message.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        sent = part.get_payload(decode=True)
        assert isinstance(sent, bytes)
        found.setdefault(name, []).append(sent)
    return found


@pytest.fixture
def studio(admin: httpx2.Client) -> Iterator[Studio]:
    delete_all(admin)
    with a_studio() as running:
        yield running
    delete_all(admin)


@pytest.fixture
def sdk(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key=server.new_key(), max_retries=0
    ) as client:
        yield client


def test_an_edit_goes_through_to_a_service_with_its_mask_and_references(
    admin: httpx2.Client, studio: Studio, sdk: openai.OpenAI
) -> None:
    make(admin, name="atelier", base_url=studio.url, takes_pictures=True)
    start, other = png(96, 64), png(64, 64)
    mask = Image.new("RGBA", (96, 64), "white")
    mask.paste((0, 0, 0, 0), (48, 0, 96, 64))
    answer = sdk.images.edit(
        model="atelier",
        image=[("a.png", start), ("b.png", other)],
        mask=("mask.png", as_png(mask)),
        prompt="a fox in the snow",
        size="1024x1024",
        quality="low",
        n=2,
    )
    assert answer.data is not None
    assert len(answer.data) == 2
    for one in answer.data:
        assert opened(base64.b64decode(one.b64_json or "")).size == (1024, 1024)
    [(path, form)] = studio.asked
    assert path == "/v1/images/edits"
    assert (form["prompt"], form["n"], form["quality"]) == (
        [b"a fox in the snow"],
        [b"2"],
        [b"low"],
    )
    assert [opened(data).size for data in form["image[]"]] == [(96, 64), (64, 64)]
    [sent] = form["mask"]
    alpha = opened(sent).getchannel("A")
    assert (alpha.getpixel((10, 10)), alpha.getpixel((90, 10))) == (255, 0)


def test_an_edit_stays_here_where_pictures_may_not_leave(
    admin: httpx2.Client, studio: Studio, sdk: openai.OpenAI
) -> None:
    make(admin, name="atelier", base_url=studio.url)
    with pytest.raises(openai.BadRequestError, match="takes_pictures"):
        sdk.images.edit(model="atelier", image=("a.png", png(64, 64)), prompt="a fox")
    with pytest.raises(openai.BadRequestError, match="has no twin"):
        sdk.images.generate(model="atelier", prompt="a fox <lora:nobody:1>", size="1024x1024")
    assert studio.asked == []


def as_png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
