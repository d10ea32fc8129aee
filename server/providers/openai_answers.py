"""What OpenAI's images API and servers like it answer, as far as it is read."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

from server.domain.errors import (
    ProviderAnswerError,
    ProviderError,
    ProviderModelGoneError,
    ProviderQuotaError,
    ProviderRefusedError,
)
from server.domain.models import TokenPrices
from server.domain.money import MICROS, Money
from server.providers.http import Complaint
from server.providers.trouble import error_of, kind_of, words_of

_REFUSED = ("moderation_blocked", "content_policy_violation", "content_filter")
_REFUSED_TYPES = ("image_generation_user_error",)
_USED_UP = ("insufficient_quota", "billing_hard_limit_reached", "insufficient_balance")
_GONE = ("model_not_found", "model_not_available")


class _Details(BaseModel):
    text_tokens: int = Field(default=0, ge=0, le=10**9)
    image_tokens: int = Field(default=0, ge=0, le=10**9)


class Usage(BaseModel):
    """Tokens as the service counted them."""

    input_tokens: int = Field(default=0, ge=0, le=10**9)
    output_tokens: int = Field(default=0, ge=0, le=10**9)
    input_tokens_details: _Details | None = None


class _Image(BaseModel):
    b64_json: str | None = None
    url: str | None = Field(default=None, max_length=4000)


class _Images(BaseModel):
    data: list[_Image] | None = None
    usage: Usage | None = None


class _Event(BaseModel):
    type: str = ""
    b64_json: str | None = None
    usage: Usage | None = None
    error: object = None
    message: object = None


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


class _Fault(BaseModel):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None


class _Error(BaseModel):
    error: _Fault


@dataclass(frozen=True, slots=True)
class Drawn:
    """Pictures as base64 or as addresses, and what they took in tokens."""

    b64: tuple[str | None, ...]
    urls: tuple[str | None, ...]
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Partial:
    """An unfinished picture."""

    b64: str


def images_of(body: bytes, name: str) -> Drawn:
    """Return the pictures of an answer.

    Raises:
        ProviderAnswerError: it has none.
    """
    try:
        answer = _Images.model_validate_json(body)
    except ValidationError as error:
        raise _senseless(name, "something else than pictures") from error
    found = [one for one in answer.data or () if one.b64_json or one.url]
    if not found:
        raise _senseless(name, "no picture")
    return Drawn(
        tuple(one.b64_json for one in found), tuple(one.url for one in found), answer.usage
    )


def event_of(data: str, name: str) -> Drawn | Partial | None:
    """Return what an event of a stream brings; None: nothing that is read here.

    Raises:
        ProviderError: it is an error, or makes no sense.
    """
    if data.strip() == "[DONE]":
        return None
    try:
        event = _Event.model_validate_json(data)
    except ValidationError as error:
        raise _senseless(name, "an event that cannot be read") from error
    if event.type.endswith(".partial_image") and event.b64_json:
        return Partial(event.b64_json)
    if event.type.endswith(".completed") and event.b64_json:
        return Drawn((event.b64_json,), (None,), event.usage)
    if event.error is not None or event.type in ("error", "image_generation.failed"):
        raise _streamed(data, name)
    return None


def model_ids(body: bytes, name: str) -> tuple[str, ...]:
    """Return the ids of a model list.

    Raises:
        ProviderAnswerError: it is none.
    """
    try:
        return tuple(one.id for one in _Models.model_validate_json(body).data)
    except ValidationError as error:
        raise ProviderAnswerError(f"{name} answered with no list of models") from error


def cost_of(usage: Usage | None, prices: TokenPrices | None) -> Money | None:
    """Return what the tokens of one call cost; None where the one or the other is not known."""
    if usage is None or prices is None or usage.output_tokens == 0:
        return None
    details = usage.input_tokens_details or _Details(text_tokens=usage.input_tokens)
    parts = (
        (details.text_tokens, prices.text_in),
        (details.image_tokens, prices.image_in),
        (usage.output_tokens, prices.image_out),
    )
    micros = sum(count * cost.micros for count, cost in parts)
    return Money(micros=-(-micros // MICROS), currency=prices.image_out.currency)  # rounded up


def understand(complaint: Complaint, name: str) -> ProviderError:
    """Return the error that an answer other than 2xx means."""
    fault = _fault(complaint.body)
    kind, wait = _kind(fault, kind_of(complaint.status)), complaint.retry_after
    if kind is ProviderQuotaError:
        wait = None
    return error_of(kind, name, fault.message or words_of(complaint.body), retry_after=wait)


def _streamed(data: str, name: str) -> ProviderError:
    """Return the error that an event in the middle of a stream means."""
    fault = _fault(data.encode())
    error = error_of(_kind(fault, ProviderAnswerError), name, fault.message or data)
    error.may_have_billed = not isinstance(error, ProviderRefusedError)
    return error


def _fault(body: bytes) -> _Fault:
    try:
        return _Error.model_validate_json(body).error
    except ValidationError:
        return _Fault()


def _kind(fault: _Fault, otherwise: type[ProviderError]) -> type[ProviderError]:
    if fault.code in _REFUSED or fault.type in _REFUSED_TYPES:
        return ProviderRefusedError
    if fault.code in _USED_UP or fault.type in _USED_UP:
        return ProviderQuotaError
    return ProviderModelGoneError if fault.code in _GONE else otherwise


def _senseless(name: str, what: str) -> ProviderAnswerError:
    return ProviderAnswerError(f"{name} answered with {what}", may_have_billed=True)
