"""What the Gemini API answers, as far as it is read: pictures, refusals, lists, errors."""

from __future__ import annotations

import re

from pydantic import BaseModel, Field, ValidationError

from server.domain.errors import (
    ProviderAnswerError,
    ProviderError,
    ProviderKeyError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRefusedError,
)
from server.providers.finishing import from_base64
from server.providers.http import Complaint
from server.providers.trouble import cleaned, error_of, kind_of, words_of

NAME = "Google Gemini"
_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


class _Inline(BaseModel):
    data: str = ""


class _Part(BaseModel):
    text: str = ""
    thought: bool = False
    inline: _Inline | None = Field(default=None, alias="inlineData")


class _Content(BaseModel):
    parts: list[_Part] = []


class _Candidate(BaseModel):
    content: _Content = _Content()
    finish_reason: str = Field(default="", alias="finishReason")
    finish_message: str = Field(default="", alias="finishMessage")


class _Feedback(BaseModel):
    block_reason: str = Field(default="", alias="blockReason")
    block_message: str = Field(default="", alias="blockReasonMessage")


class _Generated(BaseModel):
    candidates: list[_Candidate] = []
    feedback: _Feedback = Field(default=_Feedback(), alias="promptFeedback")


class _Model(BaseModel):
    name: str = Field(min_length=1, max_length=200)
    display_name: str = Field(default="", alias="displayName", max_length=200)
    methods: list[str] = Field(default=[], alias="supportedGenerationMethods")


class ModelPage(BaseModel):
    """One page of the model list."""

    models: list[_Model] = []
    next_page: str = Field(default="", alias="nextPageToken", max_length=1000)


class _Detail(BaseModel):
    reason: str = ""
    retry_delay: str = Field(default="", alias="retryDelay")
    violations: list[dict[str, object]] = []


class _Status(BaseModel):
    message: str = ""
    details: list[_Detail] = []


class _Error(BaseModel):
    error: _Status


def picture_of(body: bytes) -> bytes:
    """Return the picture of an answer; drafts of a thinking model are none.

    Raises:
        ProviderRefusedError: there is none, with the service's reason.
        ProviderAnswerError: the answer makes no sense.
    """
    try:
        answer = _Generated.model_validate_json(body)
    except ValidationError as error:
        raise ProviderAnswerError(
            f"{NAME} answered with something else than a picture", may_have_billed=True
        ) from error
    parts = [part for one in answer.candidates for part in one.content.parts if not part.thought]
    found = next((part.inline.data for part in parts if part.inline and part.inline.data), None)
    if found is not None:
        return from_base64(found)
    raise _refused(answer, " ".join(part.text for part in parts))


def _refused(answer: _Generated, words: str) -> ProviderError:
    blocked, candidates = answer.feedback, answer.candidates
    reasons = [blocked.block_reason, blocked.block_message]
    for one in candidates:
        reasons += [one.finish_reason, one.finish_message]
    said = ": ".join(reason for reason in (*reasons, words.strip()) if reason)
    if not said:
        return ProviderAnswerError(
            f"{NAME} answered without a picture or a reason", may_have_billed=True
        )
    return ProviderRefusedError(f"{NAME} drew nothing: {cleaned(said)}")


def model_page(body: bytes) -> ModelPage:
    """Return a page of the model list.

    Raises:
        ProviderAnswerError: it is none.
    """
    try:
        return ModelPage.model_validate_json(body)
    except ValidationError as error:
        raise ProviderAnswerError(f"{NAME} answered with no list of models") from error


def draws(model: _Model) -> bool:
    """Return whether a listed model makes pictures."""
    by_name = re.search("image|banana", model.name, re.IGNORECASE)
    return by_name is not None and "generateContent" in model.methods


def understand(complaint: Complaint) -> ProviderError:
    """Return the error that an answer other than 2xx means."""
    try:
        said = _Error.model_validate_json(complaint.body).error
    except ValidationError:
        said = _Status(message=words_of(complaint.body))
    kind, wait = kind_of(complaint.status), complaint.retry_after
    if complaint.status == 400 and _says_bad_key(said):
        kind = ProviderKeyError
    if kind is ProviderRateLimitedError:
        if _is_used_up(said):
            kind, wait = ProviderQuotaError, None
        elif wait is None:
            wait = _retry_delay(said)
    return error_of(kind, NAME, said.message or words_of(complaint.body), retry_after=wait)


def _says_bad_key(said: _Status) -> bool:
    reasons = {detail.reason for detail in said.details}
    return "API_KEY_INVALID" in reasons or "API key" in said.message


def _is_used_up(said: _Status) -> bool:
    """Return whether a 429 is about a day's or an unpaid account's quota: waiting is no help."""
    ids = [
        str(violation.get("quotaId", ""))
        for detail in said.details
        for violation in detail.violations
    ]
    return any("FreeTier" in one or "PerDay" in one for one in ids)


def _retry_delay(said: _Status) -> float | None:
    for detail in said.details:
        found = _DELAY.fullmatch(detail.retry_delay)
        if found:
            return float(found[1])
    return None
