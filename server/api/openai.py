"""OpenAI's surface: any of its SDKs draws here with another base address and key."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse

from server.api.auth import CallerDep, ServicesDep
from server.api.jobs import IdempotencyKey
from server.api.links import signed_link
from server.api.openai_edits import edit_request
from server.api.openai_edits_form import edits_body, read_edits
from server.api.openai_errors import documented, error_response
from server.api.openai_form import ImagesForm, image_request, quality_of
from server.api.openai_stream import job_error, openai_events
from server.api.openai_views import (
    NO_USAGE,
    ImageData,
    ImagesAnswer,
    ModelEntries,
    ModelEntry,
)
from server.api.presence import while_present
from server.domain.keys import Caller
from server.domain.models import ModelState
from server.services.services import Services
from server.services.views import ImageView, JobView, ModelView

router = APIRouter(prefix="/v1", tags=["openai"])

_DAY_SECONDS = 86_400.0
_CLIENT_IS_GONE = 499  # nobody reads it; the log does


_PICTURES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The pictures, or with `stream` events as they come",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
}


@router.post(
    "/images/generations",
    summary="Draw, in OpenAI's form",
    operation_id="openai_create_images",
    response_model=ImagesAnswer,
    response_model_exclude_none=True,
    responses={**_PICTURES, **documented(404, 413, 429, 504, 507)},
)
async def create_images(
    body: ImagesForm,
    request: Request,
    caller: CallerDep,
    services: ServicesDep,
    idempotency_key: IdempotencyKey = None,
) -> ImagesAnswer | Response:
    """Draw 1 to 4 pictures and answer when they are done; a client that leaves cancels them.

    `docs/openai.md` says what each field means here.
    """
    wanted = image_request(body, services.models.get(body.model))
    job = await services.generation.submit(wanted, caller, idempotency_key=idempotency_key)
    return await _drawn(request, services, caller, body, job)


@router.post(
    "/images/edits",
    summary="Draw from pictures, in OpenAI's form",
    operation_id="openai_edit_images",
    response_model=ImagesAnswer,
    response_model_exclude_none=True,
    openapi_extra=edits_body(),
    responses={**_PICTURES, **documented(404, 413, 429, 502, 504, 507)},
)
async def edit_images(
    request: Request,
    caller: CallerDep,
    services: ServicesDep,
    idempotency_key: IdempotencyKey = None,
) -> ImagesAnswer | Response:
    """Repaint what a mask leaves transparent, redraw a picture, or edit it by instruction.

    Which of these is the model's to say. `docs/openai.md` has the rules.
    """
    # Read here, not in the signature: before this line nobody but the caller was looked at.
    edits = await read_edits(request, max_file_bytes=services.uploads.max_bytes)
    wanted = await edit_request(edits, services, caller)
    job = await services.generation.submit(wanted, caller, idempotency_key=idempotency_key)
    return await _drawn(request, services, caller, edits.form, job)


async def _drawn(
    request: Request, services: Services, caller: Caller, form: ImagesForm, job: JobView
) -> ImagesAnswer | Response:
    """Answer when `job` has ended, or stream it; a client that leaves cancels it."""
    if form.stream:
        return _stream(services, caller, form, job)
    ended = await while_present(request, services.generation.wait(job.id, caller, _DAY_SECONDS))
    if ended is None:
        await services.generation.cancel(job.id, caller)
        return Response(status_code=_CLIENT_IS_GONE)
    if ended.error is not None or not ended.images:
        response = error_response(job_error(ended))
        response.headers["x-should-retry"] = "false"  # the SDKs would draw it twice more
        return response
    return await _answer(request, services, caller, form, ended)


@router.get("/models", summary="List models, in OpenAI's form", operation_id="openai_list_models")
async def list_models(services: ServicesDep) -> ModelEntries:
    """Return the models that can draw now."""
    ready = (m for m in services.models.list() if m.state is ModelState.READY)
    return ModelEntries(object="list", data=tuple(map(_entry, ready)))


@router.get(
    "/models/{model_id}",
    summary="Look at a model, in OpenAI's form",
    operation_id="openai_get_model",
    responses=documented(404),
)
async def get_model(
    model_id: Annotated[str, Path(max_length=100)], services: ServicesDep
) -> ModelEntry:
    """Return a registered model by id or alias."""
    return _entry(services.models.get(model_id))


def _entry(model: ModelView) -> ModelEntry:
    return ModelEntry(id=model.id, created=0, object="model", owned_by=model.provider)


def _stream(services: Services, caller: Caller, form: ImagesForm, job: JobView) -> Response:
    return StreamingResponse(
        openai_events(services, caller, form, job),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        # Runs also after the client has left; an ended job stays as it is.
        background=BackgroundTask(services.generation.cancel, job.id, caller),
    )


async def _answer(
    request: Request, services: Services, caller: Caller, form: ImagesForm, job: JobView
) -> ImagesAnswer:
    styled = job.resolved.prompt != job.request.prompt

    async def data(image: ImageView) -> ImageData:
        wants_link = form.response_format == "url"
        file = None if wants_link else await services.gallery.file(image.id, caller)
        return ImageData(
            b64_json=None if file is None else base64.b64encode(file.data).decode(),
            url=signed_link(request, services.keys.link_key, image.id) if wants_link else None,
            revised_prompt=job.resolved.prompt if styled else None,
        )

    return ImagesAnswer(
        created=int(job.created_at.timestamp()),
        background="opaque",
        data=tuple([await data(image) for image in job.images]),
        output_format=job.resolved.format,
        quality=quality_of(form),
        safety_identifier=form.safety_identifier or form.user or None,
        size=f"{job.resolved.width}x{job.resolved.height}",
        usage=NO_USAGE,
    )
