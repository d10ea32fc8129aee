"""Foreign files: what is a picture is kept safely, what is not is refused by name."""

from __future__ import annotations

import io
import time
from typing import Any

import httpx2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from tests.api.conftest import draw
from tests.api.pictures import bomb, opened, picture, png, saved
from tests.net.peer import peer, saying


def upload(client: httpx2.Client, data: bytes, name: str = "picture.png") -> httpx2.Response:
    return client.post("/api/v1/uploads", files={"file": (name, data)})


def kept(client: httpx2.Client, data: bytes, name: str = "picture.png") -> Image.Image:
    response = upload(client, data, name)
    assert response.status_code == 201, response.text
    assert response.headers["Location"] == f"/api/v1/uploads/{response.json()['id']}"
    file = client.get(response.json()["url"])
    assert file.headers["Content-Type"] == "image/png"
    return opened(file.content)


def heic() -> bytes:
    out = io.BytesIO()
    pillow_heif.from_pillow(picture(64, 48)).save(out, format="HEIF")
    return out.getvalue()


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010E] = "a secret place"
    return tags.tobytes()


@pytest.mark.parametrize(
    "data",
    [
        png(20, 10),
        saved(picture(20, 10), "JPEG"),
        saved(picture(20, 10), "WEBP"),
        saved(picture(20, 10, "L"), "GIF"),
        saved(picture(20, 10, "CMYK"), "JPEG"),
        saved(picture(20, 10, "1"), "PNG"),
        saved(picture(20, 10).convert("P"), "PNG"),
        saved(Image.fromarray(np.full((10, 20), 40_000, np.uint16)), "PNG"),
    ],
    ids=["png", "jpeg", "webp", "gif", "cmyk-jpeg", "one-bit", "palette", "sixteen-bit"],
)
def test_many_kinds_become_a_plain_png(client: httpx2.Client, data: bytes) -> None:
    image = kept(client, data)
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (20, 10))


def test_a_heic_of_a_telephone_is_read(client: httpx2.Client) -> None:
    assert kept(client, heic(), "IMG_1.HEIC").size == (64, 48)


def test_sixteen_bits_keep_their_brightness(client: httpx2.Client) -> None:
    image = kept(client, saved(Image.fromarray(np.full((8, 8), 32_896, np.uint16)), "PNG"))
    assert image.getpixel((4, 4)) == pytest.approx((128, 128, 128), abs=1)


def test_transparency_is_kept(client: httpx2.Client) -> None:
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    assert kept(client, saved(image, "PNG")).getpixel((0, 0)) == (255, 0, 0, 128)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotation_is_applied_and_metadata_is_gone(client: httpx2.Client, orientation: int) -> None:
    data = saved(picture(20, 10), "JPEG", exif=exif(orientation))
    image = kept(client, data)
    assert image.size == ((20, 10) if orientation < 5 else (10, 20))
    assert not image.getexif()
    assert not image.info


def test_too_many_bytes_are_refused(client: httpx2.Client) -> None:
    response = upload(client, b"\x00" * (2 * 2**20 + 1))
    assert (response.status_code, response.json()["type"]) == (413, "/problems/too-large")


def test_a_body_without_a_length_is_cut_off(client: httpx2.Client) -> None:
    def endless() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(1000):
            yield b"\x00" * 2**16

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    try:
        response = client.post("/api/v1/uploads", content=endless(), headers=headers)
    except httpx2.WriteError:
        return  # the server hung up while we still wrote; that is as good
    assert response.status_code == 413


def test_a_decompression_bomb_is_refused_without_being_decoded(client: httpx2.Client) -> None:
    data = bomb(30_000, 30_000)
    assert len(data) < 2**20
    started = time.monotonic()
    response = upload(client, data)
    assert (response.status_code, response.json()["type"]) == (413, "/problems/too-large")
    assert "30000 x 30000" in response.json()["detail"] or "pixels" in response.json()["detail"]
    assert time.monotonic() - started < 5


def test_a_picture_just_over_the_pixel_cap_is_refused(client: httpx2.Client) -> None:
    assert upload(client, saved(Image.new("1", (2001, 2000)), "PNG")).status_code == 413
    assert upload(client, saved(Image.new("1", (2000, 2000)), "PNG")).status_code == 201


@pytest.mark.parametrize(
    "data",
    [
        b"just text",
        b"",
        png(64, 64)[:-40],
        saved(picture(64, 64), "JPEG")[:200],
        heic()[:300],
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 100,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.4",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ],
    ids=["text", "empty", "cut-png", "cut-jpeg", "cut-heic", "broken-png", "svg", "pdf", "eps"],
)
def test_what_is_no_whole_picture_is_refused(client: httpx2.Client, data: bytes) -> None:
    response = upload(client, data)
    assert (response.status_code, response.json()["type"]) == (422, "/problems/unreadable-image")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"x", "text/plain"),
        (b"x", "image/png"),
        (b"x", "multipart/form-data"),
        (b"x", "multipart/form-data; boundary=b"),
        (b"--b\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b"),
        (b"{}", "application/json"),
        (b"[", "application/json"),
        (b'{"url": 1}', "application/json"),
        (b'{"url": "http://a/", "path": "/etc/passwd"}', "application/json"),
    ],
)
def test_a_body_of_another_form_is_refused(
    client: httpx2.Client, content: bytes, kind: str
) -> None:
    response = client.post("/api/v1/uploads", content=content, headers={"Content-Type": kind})
    assert (response.status_code, response.json()["type"]) == (422, "/problems/invalid-request")


def test_another_field_or_two_files_are_refused(client: httpx2.Client) -> None:
    assert client.post("/api/v1/uploads", files={"image": png(8, 8)}).status_code == 422
    two = [("file", png(8, 8)), ("file", png(8, 8))]
    assert client.post("/api/v1/uploads", files=two).status_code == 422
    both = client.post("/api/v1/uploads", files={"file": png(8, 8)}, data={"a": "b"})
    assert both.status_code == 422


async def test_an_address_inside_is_not_fetched(client: httpx2.Client) -> None:
    async with peer(saying(png(8, 8))) as inside:
        for url in (inside.url, inside.url.replace("127.0.0.1", "localhost"), "file:///etc/passwd"):
            response = await _post(client, {"url": url})
            assert response.status_code == 422
            assert response.json()["type"] == "/problems/fetch-refused"
        assert inside.requests == []


def test_an_address_that_does_not_exist_has_failed(client: httpx2.Client) -> None:
    response = client.post("/api/v1/uploads", json={"url": "http://no-such-name.invalid/a.png"})
    assert (response.status_code, response.json()["type"]) == (502, "/problems/fetch-failed")


def test_uploads_are_listed_looked_at_and_deleted(client: httpx2.Client) -> None:
    ids = [upload(client, png(8, 8 + n)).json()["id"] for n in range(3)]
    page = client.get("/api/v1/uploads", params={"limit": 2}).json()
    assert [item["id"] for item in page["items"]] == ids[:0:-1]
    assert page["next_cursor"] == ids[1]
    assert client.get(f"/api/v1/uploads/{ids[0]}").json()["height"] == 8
    assert client.delete(f"/api/v1/uploads/{ids[0]}").status_code == 204
    for path in ("", "/file"):
        assert client.get(f"/api/v1/uploads/{ids[0]}{path}").status_code == 404


def test_a_picture_is_drawn_from_an_upload(client: httpx2.Client) -> None:
    source = upload(client, png(64, 64)).json()
    assert draw(client, image=source["id"], strength=0.6)["state"] == "succeeded"


async def _post(client: httpx2.Client, body: object) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=client.base_url, headers=client.headers) as asking:
        return await asking.post("/api/v1/uploads", json=body)
