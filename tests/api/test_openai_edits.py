"""The real `openai` SDK asks for edits: masks, references, streams, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import io
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from openai.types import ImageEditCompletedEvent, ImageEditPartialImageEvent
from PIL import Image

from tests.api.conftest import Running, slow
from tests.api.pictures import opened, picture, png, saved
from tests.editors import EDITOR, FILLER

FAST = {"num_inference_steps": 2, "seed": 7}


@pytest.fixture
def key(server: Running) -> str:
    return server.new_key()


@pytest.fixture
def mine(server: Running, key: str) -> httpx2.Client:
    return server.client(key)


@pytest.fixture
def sdk(server: Running, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
        yield client


def masked(width: int, height: int, mode: str = "RGBA") -> bytes:
    """Return a picture whose right half is fully transparent."""
    image = picture(width, height).convert("RGBA")
    image.paste((0, 0, 0, 0), (width // 2, 0, width, height))
    return saved(image.convert(mode), "PNG")


def last_job(client: httpx2.Client) -> dict[str, Any]:
    job: dict[str, Any] = client.get("/api/v1/jobs").json()["items"][0]
    return job


def file_of(client: httpx2.Client, upload_id: str) -> Image.Image:
    return opened(client.get(f"/api/v1/uploads/{upload_id}/file").content)


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def test_what_a_mask_leaves_transparent_is_drawn_anew(
    sdk: openai.OpenAI, mine: httpx2.Client
) -> None:
    answer = sdk.images.edit(
        image=png(64, 48),
        mask=masked(64, 48),
        prompt="a fox",
        size="64x64",
        user="someone",
        extra_body=FAST,
    )
    assert answer.data is not None
    assert opened(base64.b64decode(answer.data[0].b64_json or "")).size == (64, 64)
    assert answer.safety_identifier == "someone"
    job = last_job(mine)
    assert job["resolved"]["strength"] == 1.0
    assert file_of(mine, job["resolved"]["image"]).size == (64, 48)
    mask = np.asarray(file_of(mine, job["resolved"]["mask"]).convert("L"))
    assert (mask[:, :32] == 0).all()
    assert (mask[:, 32:] == 255).all()
    (image,) = job["images"]
    assert image["recipe"]["mask"] is not None
    assert image["recipe"]["image"] is not None


def test_a_picture_with_transparency_masks_itself(sdk: openai.OpenAI, mine: httpx2.Client) -> None:
    sdk.images.edit(image=[masked(64, 64)], prompt="a fox", size="64x64", extra_body=FAST)
    resolved = last_job(mine)["resolved"]
    assert resolved["strength"] == 1.0
    mask = file_of(mine, resolved["mask"]).convert("L")
    assert (mask.getpixel((0, 0)), mask.getpixel((63, 0))) == (0, 255)


def test_a_picture_without_transparency_is_started_from(
    sdk: openai.OpenAI, mine: httpx2.Client
) -> None:
    half = saved(Image.new("RGBA", (64, 64), (255, 0, 0, 128)), "PNG")
    for image in (png(64, 64), half):
        sdk.images.edit(image=image, prompt="a fox", size="64x64", extra_body=FAST)
        resolved = last_job(mine)["resolved"]
        assert (resolved["mask"], resolved["strength"]) == (None, 0.6)


def test_without_a_size_the_pictures_own_shape_is_drawn(
    sdk: openai.OpenAI, mine: httpx2.Client
) -> None:
    sdk.images.edit(image=png(150, 100), prompt="a fox", extra_body=FAST)
    resolved = last_job(mine)["resolved"]
    assert (resolved["width"], resolved["height"]) == (192, 128)  # 3:2


def test_a_model_that_edits_looks_at_all_images(sdk: openai.OpenAI, mine: httpx2.Client) -> None:
    answer = sdk.images.edit(
        model=EDITOR,
        image=[("a.png", png(64, 64)), ("b.png", png(32, 32)), ("c.png", masked(16, 16))],
        prompt="all of them at the sea",
        n=2,
        quality="low",
        output_format="webp",
        input_fidelity="high",
    )
    assert answer.data is not None
    assert len(answer.data) == 2
    job = last_job(mine)
    sizes = [file_of(mine, each).size for each in job["resolved"]["references"]]
    assert sizes == [(64, 64), (32, 32), (16, 16)]
    assert (job["resolved"]["image"], job["resolved"]["mask"]) == (None, None)
    assert len(job["images"][0]["recipe"]["references"]) == 3


def test_a_stream_is_of_openais_edit_events(sdk: openai.OpenAI) -> None:
    stream = sdk.images.edit(
        image=png(64, 64),
        mask=masked(64, 64),
        prompt="a long story",
        size="256x256",
        stream=True,
        partial_images=2,
        extra_body={"num_inference_steps": 100},
    )
    *partial, last = list(stream)
    assert isinstance(last, ImageEditCompletedEvent)
    assert (last.type, last.size) == ("image_edit.completed", "256x256")
    assert opened(base64.b64decode(last.b64_json)).size == (256, 256)
    assert 1 <= len(partial) <= 2
    for index, event in enumerate(partial):
        assert isinstance(event, ImageEditPartialImageEvent)
        assert (event.type, event.partial_image_index) == ("image_edit.partial_image", index)


async def test_the_async_client_edits(server: Running, key: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key) as client:
        answer = await client.images.edit(
            image=io.BytesIO(png(64, 64)), prompt="a fox", size="64x64", extra_body=FAST
        )
    assert answer.data


def test_fields_of_a_job_work_beside_it(sdk: openai.OpenAI, mine: httpx2.Client) -> None:
    extra = {**FAST, "outpaint": {"left": 0.5}, "target_size": [64, 96], "strength": 0.9}
    sdk.images.edit(
        image=png(64, 64),
        prompt="a fox",
        n=None,
        size=None,
        response_format="url",
        extra_body=extra,
    )
    resolved = last_job(mine)["resolved"]
    assert resolved["outpaint"] == {"left": 0.5, "top": 0.0, "right": 0.0, "bottom": 0.0}
    assert (resolved["target_size"], resolved["strength"]) == ([64, 96], 0.9)
    assert (resolved["width"], resolved["height"]) == (192, 128)  # 3:2, once widened


def test_a_json_body_names_pictures_by_address_or_id(mine: httpx2.Client) -> None:
    upload = mine.post("/api/v1/uploads", files={"file": png(64, 64)}).json()["id"]
    body = {
        "prompt": "a fox",
        "size": "64x64",
        "images": [{"file_id": upload}],
        "mask": {"image_url": data_url(masked(64, 64))},
        **FAST,
    }
    response = mine.post("/v1/images/edits", json=body)
    assert response.status_code == 200, response.text
    assert last_job(mine)["resolved"]["image"] == upload
    assert last_job(mine)["resolved"]["mask"] is not None
    body |= {"images": [{"image_url": data_url(masked(64, 64))}], "mask": None}
    assert mine.post("/v1/images/edits", json=body).status_code == 200


def test_the_same_request_again_is_the_same_job(mine: httpx2.Client) -> None:
    answers = [
        mine.post(
            "/v1/images/edits",
            data={"prompt": "a fox", "size": "64x64", "num_inference_steps": "2"},
            files={"image": png(64, 64), "mask": masked(64, 64)},
            headers={"Idempotency-Key": "once"},
        )
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert len(mine.get("/api/v1/jobs").json()["items"]) == 1
    assert len(mine.get("/api/v1/uploads").json()["items"]) == 2


PICTURE = png(64, 64)


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"mask": PICTURE}, "mask", "no alpha channel"),
        ({"mask": masked(32, 32)}, "mask", "32 x 32 and the image 64 x 64"),
        ({"mask": png(64, 64, "RGBA")}, "mask", "no fully transparent pixel"),
        ({"image": [PICTURE, PICTURE]}, "image", "starts from one image; 2 were given"),
        ({"image": [PICTURE] * 5, "model": EDITOR}, "image", "at most 4 images; 5 were given"),
        ({"mask": masked(64, 64), "model": EDITOR}, "mask", "takes no mask"),
        ({"model": FILLER}, "mask", "repaints a picture: give image and mask"),
        ({"image": b"just text"}, None, "not a picture"),
        ({"mask": b"just text"}, None, "not a picture"),
        ({"input_fidelity": "high"}, "input_fidelity", "strength says how much changes"),
        ({"markup": PICTURE}, "markup", "give a mask"),
        ({"background": "transparent"}, "background", "opaque"),
        ({"output_compression": 50}, "output_compression", "fixed"),
        ({"n": 5}, "n", "less than or equal to 4"),
        ({"size": "63x64"}, "size", "63x64"),
        ({"stream": True, "n": 2}, "n", "a stream is of one picture"),
        ({"svg": {"model": "x"}}, "svg", "no vector graphics"),
        ({"extra_body": {"references": ["x"]}}, "references", "no text here"),
        ({"extra_body": {"colour": "red"}}, "colour", "not permitted"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    sdk: openai.OpenAI, mine: httpx2.Client, fields: dict[str, Any], param: str | None, said: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.images.edit(**{"image": PICTURE, "prompt": "a fox", **fields})
    assert said in str(caught.value)
    assert caught.value.param == param
    assert mine.get("/api/v1/jobs").json()["items"] == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": "a fox"}, "images"),
        ({"prompt": "a fox", "images": []}, "images"),
        ({"prompt": "a fox", "images": [{}]}, "images.0"),
        ({"prompt": "a fox", "image": "x", "images": [{"file_id": "0" * 26}]}, "image"),
        ({"images": [{"image_url": data_url(PICTURE)}]}, "prompt"),
        ({"prompt": "a fox", "images": [{"image_url": "data:image/png,x"}]}, "image_url"),
        ({"prompt": "a fox", "images": [{"image_url": "data:a;base64,?"}]}, "image_url"),
        ({"prompt": "a fox", "images": [{"image_url": "http://127.0.0.1/a.png"}]}, "image_url"),
    ],
)
def test_a_json_body_that_is_wrong_names_the_field(
    mine: httpx2.Client, body: dict[str, Any], param: str | None
) -> None:
    response = mine.post("/v1/images/edits", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_another_owners_picture_is_not_found(mine: httpx2.Client, admin: httpx2.Client) -> None:
    upload = admin.post("/api/v1/uploads", files={"file": png(64, 64)}).json()["id"]
    for model in ("scribble-xl", EDITOR):
        body = {"prompt": "a fox", "model": model, "images": [{"file_id": upload}]}
        assert mine.post("/v1/images/edits", json=body).status_code == 404


def test_bytes_and_parts_are_capped_while_they_come(mine: httpx2.Client) -> None:
    def asked(files: list[tuple[str, bytes]]) -> httpx2.Response:
        return mine.post("/v1/images/edits", data={"prompt": "a fox"}, files=files)

    over = b"\x00" * (2 * 2**20 + 1)  # the server of these tests takes 2 MiB a file
    assert asked([("image", over)]).status_code == 413
    full = b"\x00" * (2 * 2**20 - 1)
    assert asked([("image[]", full)] * 5).status_code == 413
    many = asked([("image[]", PICTURE)] * 19)
    assert (many.status_code, "Too many files" in many.text) == (400, True)
    seventeen = asked([("image[]", PICTURE)] * 17)
    assert (seventeen.status_code, seventeen.json()["error"]["param"]) == (400, "image")
    assert mine.get("/api/v1/uploads").json()["items"] == []


def test_nobodys_body_is_read(nobody: httpx2.Client) -> None:
    response = nobody.post("/v1/images/edits", content=b"no form at all")
    assert response.status_code == 401


def test_a_body_of_another_kind_is_refused(mine: httpx2.Client) -> None:
    for kind in ("text/plain", "multipart/form-data", "multipart/form-data; boundary=b"):
        response = mine.post("/v1/images/edits", content=b"x", headers={"Content-Type": kind})
        assert response.status_code == 400, kind


async def test_a_client_that_leaves_cancels_its_edit(server: Running, key: str) -> None:
    asking = httpx2.AsyncClient(
        base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=60
    )
    fields = {name: str(value) for name, value in slow().items()}
    async with asking:
        task = asyncio.create_task(
            asking.post("/v1/images/edits", data=fields, files={"image": PICTURE})
        )
        jobs: list[dict[str, Any]] = []
        while not jobs:
            await asyncio.sleep(0.05)
            jobs = (await asking.get("/api/v1/jobs")).json()["items"]
        task.cancel()
        await asyncio.wait([task])
        job = jobs[0]
        end = time.monotonic() + 10
        while job["state"] != "cancelled":
            assert time.monotonic() < end, job["state"]
            await asyncio.sleep(0.05)
            job = (await asking.get(f"/api/v1/jobs/{job['id']}")).json()


def test_a_model_that_repaints_is_asked_with_what_it_needs(mine: httpx2.Client) -> None:
    image = mine.post("/api/v1/uploads", files={"file": png(150, 100)}).json()["id"]
    mask = mine.post("/api/v1/uploads", files={"file": png(75, 50)}).json()["id"]
    square = mine.post("/api/v1/uploads", files={"file": png(50, 50)}).json()["id"]
    body = {"prompt": "a fox", "model": FILLER, "image": image}
    for more, status in (
        ({}, 422),
        ({"mask": square}, 422),
        ({"mask": "0" * 26}, 404),
        ({"mask": mask}, 200),
        ({"outpaint": {"top": 1}}, 200),
    ):
        response = mine.post("/api/v1/estimates", json={**body, **more})
        assert response.status_code == status, response.text


def test_the_kept_part_of_the_picture_stays_near_the_source(
    sdk: openai.OpenAI, mine: httpx2.Client
) -> None:
    """The bundled model really repaints: left as it was, right something else."""
    with_it: dict[str, Any] = {"model": "storybook-xl", "size": "64x64"}
    first = sdk.images.generate(prompt="a red cat in the snow", extra_body={"seed": 3}, **with_it)
    assert first.data is not None
    source = opened(base64.b64decode(first.data[0].b64_json or "")).convert("RGB")
    mask = Image.new("RGBA", (64, 64), "white")
    mask.paste((0, 0, 0, 0), (32, 0, 64, 64))
    answer = sdk.images.edit(
        image=saved(source, "PNG"),
        mask=saved(mask, "PNG"),
        prompt="a blue bear on the beach",
        extra_body={"seed": 4},
        **with_it,
    )
    assert answer.data is not None
    drawn = opened(base64.b64decode(answer.data[0].b64_json or "")).convert("RGB")
    change = np.abs(np.asarray(drawn, np.float32) - np.asarray(source, np.float32)).mean(axis=2)
    kept, redrawn = change[:, :28].mean(), change[:, 36:].mean()
    assert kept < 8
    assert redrawn > 3 * kept
