"""What the HTTP process and the worker say to each other: frozen values, free of torch.

`draw` is the number of one request, counted by the HTTP process; `index` one of its pictures.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from server.domain.errors import (
    AdapterError,
    AppError,
    GenerationFailedError,
    GpuMemoryError,
    ModelUnavailableError,
    RequestRefusedError,
    UnreadableImageError,
)
from server.domain.images import AdapterId, Frozen, ImageFormat, ModelId, ResolvedRequest
from server.domain.models import EngineModel
from server.domain.recipes import Recipe
from server.domain.row_times import RowTime


class Sources(Frozen):
    """The files that a request names: what to start from, what to redraw of it, what to look at."""

    image: bytes | None = None
    mask: bytes | None = None
    references: tuple[bytes, ...] = ()


class DrawAdapter(Frozen):
    """An adapter of a request, and where its file is."""

    id: AdapterId
    sha256: str
    path: str
    weight: float


class Draw(Frozen):
    """Draw all pictures of `request`, which may name `sources` and `adapters`."""

    type: Literal["draw"] = "draw"
    draw: int
    model: EngineModel
    request: ResolvedRequest
    sources: Sources = Sources()
    adapters: tuple[DrawAdapter, ...] = ()
    preview_interval_seconds: float = Field(gt=0)


class Cancel(Frozen):
    """Stop `draw` before its next step; nothing more is said about it."""

    type: Literal["cancel"] = "cancel"
    draw: int


class Limits(Frozen):
    """How much memory may be taken, and for how long unused models stay; comes first.

    None means: of the device all there is, of main memory what suits the device, for ever.
    """

    type: Literal["limits"] = "limits"
    device_bytes: int | None = Field(ge=0)
    main_bytes: int | None = Field(ge=0)
    keep_alive_seconds: float | None = Field(gt=0)


NO_LIMITS = Limits(device_bytes=None, main_bytes=None, keep_alive_seconds=None)


class Preload(Frozen):
    """Load a model before anybody draws with it; answered by Done."""

    type: Literal["preload"] = "preload"
    chore: int
    model: EngineModel


class Unload(Frozen):
    """Give a model up once nobody draws with it; answered by Done."""

    type: Literal["unload"] = "unload"
    chore: int
    model: ModelId


class Lend(Frozen):
    """Leave so much of the device to somebody else; answered by Done once it really is free.

    `taken_bytes` of it they have already, from an earlier process.
    """

    type: Literal["lend"] = "lend"
    chore: int
    size_bytes: int = Field(gt=0)
    taken_bytes: int = Field(default=0, ge=0)


class TakeBack(Frozen):
    """What was lent, or asked for, under that number is ours again; not answered."""

    type: Literal["take_back"] = "take_back"
    chore: int


Chore = Preload | Unload | Lend | TakeBack


class Done(Frozen):
    """A chore is done, or why it cannot be; `code` is an AppError's."""

    type: Literal["done"] = "done"
    chore: int
    code: str | None
    detail: str | None


class Known(Frozen):
    """What earlier processes measured on this hardware; comes before the first draw."""

    type: Literal["known"] = "known"
    points: tuple[RowTime, ...]


class Ping(Frozen):
    """Are you there?"""

    type: Literal["ping"] = "ping"
    number: int


class Pong(Frozen):
    """Yes. `stalled_seconds` is how long the drawing thread has been in one piece of work."""

    type: Literal["pong"] = "pong"
    number: int
    stalled_seconds: float


class Ready(Frozen):
    """The worker has its libraries and its device, and draws from now on."""

    type: Literal["ready"] = "ready"
    device: str
    dtype: str
    torch: str
    diffusers: str
    hardware: str


class Measured(Frozen):
    """A point of the curve of seconds against rows is settled."""

    type: Literal["measured"] = "measured"
    point: RowTime


class Residents(Frozen):
    """The models on the device, least recently used first, and the one being loaded.

    `beside` wait in main memory. `held` have pictures that wait until there is room for them:
    others were lent it. `free_bytes` and `lent_bytes` are the device's.
    """

    type: Literal["residents"] = "residents"
    models: tuple[ModelId, ...]
    loading: ModelId | None
    beside: tuple[ModelId, ...] = ()
    held: tuple[ModelId, ...] = ()
    free_bytes: int = 0
    lent_bytes: int = 0


class Taken(Frozen):
    """Work on `draw` begins, its model's loading included: from here on it may be to blame."""

    type: Literal["taken"] = "taken"
    draw: int


class DrawStarted(Frozen):
    """The first step of a picture is next."""

    type: Literal["started"] = "started"
    draw: int
    index: int
    total_steps: int


class DrawProgress(Frozen):
    """`step` steps of a picture are done."""

    type: Literal["progress"] = "progress"
    draw: int
    index: int
    step: int
    total_steps: int


class DrawPreview(Frozen):
    """A small JPEG of an unfinished picture."""

    type: Literal["preview"] = "preview"
    draw: int
    index: int
    data: bytes


class DrawPicture(Frozen):
    """A finished file. Of each picture comes either this or DrawFailed, and then nothing more."""

    type: Literal["picture"] = "picture"
    draw: int
    index: int
    data: bytes
    format: ImageFormat
    width: int
    height: int
    recipe: Recipe
    duration_seconds: float
    device_seconds: float


class DrawFailed(Frozen):
    """This picture will not come; `code` is an AppError's."""

    type: Literal["failed"] = "failed"
    draw: int
    index: int
    code: str
    detail: str
    parameter: str | None


ToWorker = Draw | Cancel | Limits | Chore | Known | Ping
FromWorker = (
    Ready
    | Done
    | Measured
    | Pong
    | Residents
    | Taken
    | DrawStarted
    | DrawProgress
    | DrawPreview
    | DrawPicture
    | DrawFailed
)
TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(Annotated[ToWorker, Field(discriminator="type")])
FROM_WORKER: TypeAdapter[FromWorker] = TypeAdapter(
    Annotated[FromWorker, Field(discriminator="type")]
)

_ERRORS: dict[str, type[AppError]] = {
    kind.code: kind
    for kind in (
        AdapterError,
        GenerationFailedError,
        GpuMemoryError,
        ModelUnavailableError,
        RequestRefusedError,
        UnreadableImageError,
    )
}


def error_of(failed: DrawFailed) -> AppError:
    """Return the named error that `failed` carries."""
    return named_error(failed.code, failed.detail, failed.parameter)


def named_error(code: str, detail: str, parameter: str | None = None) -> AppError:
    """Return the error of that code, as far as a worker raises it."""
    return _ERRORS.get(code, GenerationFailedError)(detail, parameter=parameter)
