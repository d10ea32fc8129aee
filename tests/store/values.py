"""Domain values for tests: whole, and different wherever it does not matter."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from typing import Any

from server.domain.connections import Connection, ProviderKind
from server.domain.gallery import StoredImage, Upload
from server.domain.ids import IdMaker
from server.domain.images import ImageFormat, ImageRequest, Priority, ResolvedRequest
from server.domain.jobs import Job, JobState
from server.domain.recipes import Engine, Recipe

new_id = IdMaker(time.time)
NOW = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)


def a_connection(**changes: Any) -> Connection:
    values: dict[str, Any] = {
        "id": new_id(),
        "name": "nano",
        "provider": ProviderKind.GEMINI,
        "model": "gemini-3.1-flash-image",
        "parameters": {"aspect_ratio": "16:9", "strength": 0.5, "steps": 4, "is_odd": True},
        "has_key": False,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Connection.model_validate(values | changes)


def a_job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": new_id(),
        "owner": "ana",
        "key_id": "key",
        "state": JobState.QUEUED,
        "priority": Priority.NORMAL,
        "request": ImageRequest(prompt="a fox"),
        "resolved": ResolvedRequest(
            model="scribble-xl",
            prompt="a fox",
            negative_prompt=None,
            width=64,
            height=64,
            num_images=4,
            seed=2**53 - 1,
            num_inference_steps=4,
            guidance_scale=5.5,
            true_cfg_scale=None,
            scheduler="euler",
            max_sequence_length=None,
            image=None,
            strength=None,
            format=ImageFormat.PNG,
        ),
        "flops": 1.25e15,
        "created_at": NOW,
        "started_at": None,
        "finished_at": None,
        "deadline_at": None,
        "attempt": 0,
        "deaths": 0,
        "error": None,
        "route": None,
    }
    return Job.model_validate(values | changes)


def an_image(job: Job, index: int, data: bytes, **changes: Any) -> StoredImage:
    values: dict[str, Any] = {
        "id": new_id(),
        "owner": job.owner,
        "job_id": job.id,
        "index": index,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "format": ImageFormat.PNG,
        "width": 64,
        "height": 64,
        "seed": 2**53 - 1,
        "prompt": "a fox",
        "model": "scribble-xl",
        "served_by": "local-cpu",
        "duration_seconds": 0.25,
        "recipe": a_recipe(),
        "created_at": NOW,
    }
    return StoredImage.model_validate(values | changes)


def a_recipe() -> Recipe:
    return Recipe(
        model="scribble-xl",
        fingerprint="0123",
        prompt="a fox",
        negative_prompt=None,
        width=64,
        height=64,
        seed=7,
        num_inference_steps=4,
        guidance_scale=5.5,
        true_cfg_scale=None,
        scheduler="euler",
        max_sequence_length=None,
        image=None,
        strength=None,
        format=ImageFormat.PNG,
        profile="exact",
        engine=Engine(greenroom="0.1.0", torch="2", diffusers="0", device="cpu", dtype="float32"),
        created_at=NOW,
    )


def an_upload(data: bytes, **changes: Any) -> Upload:
    values: dict[str, Any] = {
        "id": new_id(),
        "owner": "ana",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "width": 64,
        "height": 64,
        "created_at": NOW,
    }
    return Upload.model_validate(values | changes)
