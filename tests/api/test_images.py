from __future__ import annotations

import httpx2
import pytest

from server.domain.ids import ID_LENGTH
from tests.api.conftest import draw
from tests.api.pictures import opened


def test_a_file_is_fetched_once_and_then_kept(client: httpx2.Client) -> None:
    image = draw(client)["images"][0]
    response = client.get(image["url"])
    assert response.headers["Content-Type"] == "image/png"
    assert len(response.content) == image["size_bytes"]
    assert "immutable" in response.headers["Cache-Control"]
    assert "private" in response.headers["Cache-Control"]
    assert "Content-Disposition" not in response.headers
    assert opened(response.content).size == (64, 64)
    for tag in (response.headers["ETag"], f'W/{response.headers["ETag"]}, "x"'):
        again = client.get(image["url"], headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
    assert client.get(image["url"], headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_a_file_can_be_saved_under_a_name(client: httpx2.Client, kind: str) -> None:
    image = draw(client, format=kind)["images"][0]
    response = client.get(image["url"], params={"download": 1})
    name = f"greenroom-{image['id']}.{kind}"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response.headers["Content-Type"] == f"image/{kind}"


@pytest.mark.parametrize("size", [256, 512])
def test_a_thumbnail_is_a_small_webp(client: httpx2.Client, size: int) -> None:
    image = draw(client, width=640, height=320)["images"][0]
    response = client.get(f"/api/v1/images/{image['id']}/thumbnail", params={"size": size})
    assert response.headers["Content-Type"] == "image/webp"
    assert opened(response.content).size == (size, size // 2)
    again = client.get(
        f"/api/v1/images/{image['id']}/thumbnail?size={size}",
        headers={"If-None-Match": response.headers["ETag"]},
    )
    assert again.status_code == 304


def test_a_thumbnail_has_one_of_two_sizes(client: httpx2.Client) -> None:
    image = draw(client)["images"][0]
    refused = client.get(f"/api/v1/images/{image['id']}/thumbnail?size=300")
    assert (refused.status_code, refused.json()["parameter"]) == (422, "size")


def test_pictures_are_found_by_the_beginnings_of_words_and_by_model(
    client: httpx2.Client,
) -> None:
    draw(client, prompt="a lighthouse at dusk")
    fox = draw(client, prompt="Café with a fox")["images"][0]

    def found(**what: str) -> list[str]:
        return [i["prompt"] for i in client.get("/api/v1/images", params=what).json()["items"]]

    assert found(query="light") == ["a lighthouse at dusk"]
    assert found(query="cafe fox") == ["Café with a fox"]
    assert found(query='"%_*()') in ([], found())
    assert found(model=fox["model"]) == ["Café with a fox", "a lighthouse at dusk"]
    assert found(model="another") == []


def test_a_deleted_picture_is_gone(client: httpx2.Client) -> None:
    job = draw(client, num_images=2)
    gone, kept = job["images"]
    response = client.delete(f"/api/v1/images/{gone['id']}")
    assert (response.status_code, response.content) == (204, b"")
    for path in ("", "/file", "/thumbnail"):
        assert client.get(f"/api/v1/images/{gone['id']}{path}").status_code == 404
    assert client.delete(f"/api/v1/images/{gone['id']}").status_code == 404
    assert client.get(kept["url"]).status_code == 200
    assert [i["id"] for i in client.get(f"/api/v1/jobs/{job['id']}").json()["images"]] == [
        kept["id"]
    ]


def test_a_picture_is_drawn_from_a_picture(client: httpx2.Client) -> None:
    first = draw(client)["images"][0]
    job = draw(client, image=first["id"], strength=0.5, num_inference_steps=4)
    assert job["images"][0]["recipe"]["image"] == first["sha256"]


def test_a_picture_that_is_not_there_is_404(client: httpx2.Client) -> None:
    assert client.get(f"/api/v1/images/{'0' * ID_LENGTH}/file").status_code == 404
