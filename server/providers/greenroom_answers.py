"""What another Greenroom answers, as far as it is read; what later versions add is passed over."""

from __future__ import annotations

import json
from typing import Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from server.domain.adapters import StoredAdapter
from server.domain.errors import (
    AppError,
    BudgetExceededError,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    ModelNotFoundError,
    ModelUnavailableError,
    NotFoundError,
    ProviderAnswerError,
    ProviderError,
    ProviderKeyError,
    ProviderModelGoneError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRequestError,
    ProviderUnreachableError,
    QueueFullError,
    RequestRefusedError,
    TooLargeError,
    UnauthorizedError,
    UnreadableImageError,
)
from server.domain.images import Id
from server.domain.models import Family, ModelInfo
from server.domain.recipes import Engine
from server.providers.http import Complaint
from server.providers.trouble import error_of, kind_of, words_of

M = TypeVar("M", bound=BaseModel)


class KeyTakenError(ProviderRequestError):
    """The idempotency key was used for another request."""


_KINDS: dict[type[AppError], type[ProviderError]] = {
    UnauthorizedError: ProviderKeyError,
    ForbiddenError: ProviderKeyError,
    InvalidRequestError: ProviderRequestError,
    RequestRefusedError: ProviderRequestError,
    TooLargeError: ProviderRequestError,
    UnreadableImageError: ProviderRequestError,
    NotFoundError: ProviderRequestError,
    ModelNotFoundError: ProviderModelGoneError,
    ModelUnavailableError: ProviderModelGoneError,
    QueueFullError: ProviderRateLimitedError,
    BudgetExceededError: ProviderQuotaError,
    ConflictError: KeyTakenError,
}
# What a service behind the other server says is the same to us.
_OURS: tuple[type[ProviderError], ...] = (ProviderError, *ProviderError.__subclasses__())
_BY_CODE: dict[str, type[ProviderError]] = {
    **{ours.code: kind for ours, kind in _KINDS.items()},
    **{kind.code: kind for kind in _OURS},
}

# Of a service behind it: the other server does not say whether it was billed.
_MAY_HAVE_BILLED = (ProviderUnreachableError, ProviderAnswerError)


class JobError(BaseModel):
    """Why a job failed there."""

    code: str
    detail: str


class Image(BaseModel):
    """A finished picture of a job there."""

    id: Id
    index: int = Field(ge=0, lt=100)
    recipe: dict[str, object]


class Job(BaseModel):
    """A job there."""

    id: Id
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]


class State(BaseModel):
    """One change of a job there."""

    type: str
    image: Image | None
    error: JobError | None


class Progress(BaseModel):
    """The newest step of one picture."""

    index: int = Field(ge=0, lt=100)
    step: int = Field(ge=0)
    total_steps: int = Field(ge=1)


class Preview(BaseModel):
    """An unfinished picture."""

    index: int = Field(ge=0, lt=100)
    data: str = Field(max_length=8 * 2**20)


class Upload(BaseModel):
    """A picture that was brought."""

    id: Id


class Outlook(BaseModel):
    """How long a request would take there, waiting included; None: nothing was measured yet."""

    seconds: float | None = Field(ge=0)
    waiting_seconds: float | None = Field(ge=0)

    @property
    def total_seconds(self) -> float | None:
        """Seconds until it would be done."""
        return None if self.seconds is None else self.seconds + (self.waiting_seconds or 0.0)


class _Problem(BaseModel):
    type: str
    detail: str = ""
    parameter: str | None = None


class Listed(BaseModel):
    """A model in the list there."""

    id: str
    name: str
    state: str


class _List(BaseModel):
    items: list[Listed]


class _Adapters(BaseModel):
    items: list[dict[str, object]]


def read(form: type[M], body: bytes | str, name: str) -> M:
    """Return an answer as `form`.

    Raises:
        ProviderAnswerError: it is none.
    """
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        raise ProviderAnswerError(
            f"{name} answered with something else than a Greenroom server would"
        ) from error


def model_info(body: bytes, name: str) -> ModelInfo:
    """Return a model as the other server declares it.

    Raises:
        ProviderAnswerError: it cannot be read; its version may be much newer.
    """
    try:
        said = json.loads(body)
        return ModelInfo.model_validate(
            {field: said[field] for field in ModelInfo.model_fields if field in said}
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise ProviderAnswerError(
            f"{name} declares its model in a way that this version does not understand"
        ) from error


def listed_models(body: bytes, name: str) -> tuple[Listed, ...]:
    """Return the models that can draw there now."""
    return tuple(one for one in read(_List, body, name).items if one.state == "ready")


def adapters(body: bytes, name: str, family: Family) -> tuple[StoredAdapter, ...]:
    """Return the adapters there that suit models of `family`, as remote ones.

    Raises:
        ProviderAnswerError: they cannot be read.
    """
    fields = StoredAdapter.model_fields
    try:
        found = [
            StoredAdapter.model_validate({k: v for k, v in one.items() if k in fields})
            for one in read(_Adapters, body, name).items
        ]
    except ValidationError as error:
        raise ProviderAnswerError(f"{name} lists adapters that cannot be read") from error
    return tuple(
        one.model_copy(update={"family": Family.REMOTE}) for one in found if one.family is family
    )


def engine_of(recipe: dict[str, object]) -> dict[str, object]:
    """Return what a recipe from there tells of its engine, for a recipe of ours."""
    known: dict[str, object] = {}
    for name in ("fingerprint", "scheduler"):
        value = recipe.get(name)
        if isinstance(value, str):
            known[name] = value[:200]
    said = recipe.get("engine")
    if isinstance(said, dict):
        try:
            known["engine"] = Engine.model_validate({k: said.get(k) for k in Engine.model_fields})
        except ValidationError:
            return known
    return known


def failure(error: JobError | None, name: str) -> ProviderError:
    """Return why a job failed there, as an error of ours."""
    if error is None:
        return ProviderError(f"the job was cancelled on {name}")
    kind = _BY_CODE.get(error.code)
    found = error_of(kind or ProviderUnreachableError, name, error.detail)
    found.may_have_billed = kind in _MAY_HAVE_BILLED
    return found


def understand(complaint: Complaint, name: str) -> ProviderError:
    """Return the error that an answer other than 2xx means."""
    try:
        problem = _Problem.model_validate_json(complaint.body)
    except ValidationError:
        problem = _Problem(type="", detail=words_of(complaint.body))
    kind = _BY_CODE.get(problem.type.rpartition("/")[2], kind_of(complaint.status))
    error = error_of(kind, name, problem.detail, retry_after=complaint.retry_after)
    error.parameter = problem.parameter
    return error
