"""Every error a caller can meet, free of HTTP; `server.api.problems` maps them once.

A message names the value and the remedy, and never a path of this machine.
"""

from __future__ import annotations


class AppError(Exception):
    """Base of all named errors. `code` is stable and public, `title` is for people."""

    code = "error"
    title = "Something went wrong"

    def __init__(self, detail: str, *, parameter: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.parameter = parameter


class InvalidRequestError(AppError):
    """The request's form is wrong: a type, a range, an unknown field."""

    code, title = "invalid-request", "The request is not valid"


class RequestRefusedError(AppError):
    """The request is well formed, but this model or provider cannot do a part of it."""

    code, title = "request-refused", "The model cannot do this"


class UnauthorizedError(AppError):
    """No key, or one that is unknown or revoked."""

    code, title = "unauthorized", "A valid key is needed"


class ForbiddenError(AppError):
    """The key is valid but lacks a scope, or the Host or Origin is not ours."""

    code, title = "forbidden", "This is not allowed"


class NotFoundError(AppError):
    """No such thing, or not the caller's: the two are never told apart."""

    code, title = "not-found", "There is no such thing"


class ModelNotFoundError(AppError):
    """No model of that id or alias is registered."""

    code, title = "model-not-found", "There is no such model"


class ModelUnavailableError(AppError):
    """The model is registered but cannot be loaded: not pulled, not pinned, gated or broken."""

    code, title = "model-unavailable", "The model cannot be used yet"


class RegistryError(AppError):
    """An entry of models.yaml is wrong; the message names file, line, entry and remedy."""

    code, title = "registry-invalid", "The model registry has a mistake"


class AdapterError(AppError):
    """The adapter's file is damaged, of another kind, or made for another network."""

    code, title = "adapter-invalid", "The adapter cannot be used"


class ConflictError(AppError):
    """The thing's present state forbids it, or an idempotency key was used for another request."""

    code, title = "conflict", "This conflicts with what is there"


class TooLargeError(AppError):
    """More bytes or pixels than allowed; known before anything is decoded."""

    code, title = "too-large", "This is too large"


class UnreadableImageError(AppError):
    """The bytes are no picture that we read, or a damaged one."""

    code, title = "unreadable-image", "The picture cannot be read"


class QueueFullError(AppError):
    """The bounded queue has no place left."""

    code, title = "queue-full", "The queue is full"

    def __init__(self, detail: str, *, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class FetchRefusedError(AppError):
    """The address may not be fetched: private, wrong scheme, too large, not a picture."""

    code, title = "fetch-refused", "This address is not fetched"


class FetchFailedError(AppError):
    """The address is allowed but did not answer as it should."""

    code, title = "fetch-failed", "The address did not answer"


class DeadlineMissedError(AppError):
    """The job was not done by its own deadline."""

    code, title = "deadline-missed", "The deadline has passed"


class GpuMemoryError(AppError):
    """The device ran out of memory for this picture."""

    code, title = "out-of-memory", "The device ran out of memory"


class WorkerDiedError(AppError):
    """The worker process ended. `started`: it was drawing this, and did not only hold it."""

    code, title = "worker-died", "The worker process ended"

    def __init__(self, detail: str, *, started: bool = False) -> None:
        super().__init__(detail)
        self.started = started


class GenerationFailedError(AppError):
    """The engine failed in a way that no other error names."""

    code, title = "generation-failed", "The picture could not be drawn"


class StorageFullError(AppError):
    """The disk is full; nothing was lost."""

    code, title = "storage-full", "The disk is full"


class StorageUnavailableError(AppError):
    """The database or the blob store does not take writes now."""

    code, title = "storage-unavailable", "Storage does not answer"


class AlreadyServingError(AppError):
    """Another Greenroom process owns this data folder or database."""

    code, title = "already-serving", "Another server uses this data"


class MasterKeyError(AppError):
    """The key that connections' keys are encrypted with is missing, wrong or damaged."""

    code, title = "master-key", "The keys of connections cannot be read"


class ProviderError(AppError):
    """A remote service did not make the picture.

    Attributes:
        moves_on: whether the next member of a chain may be asked instead.
        may_have_billed: whether the service may have drawn, and charged, all the same; such a
            call is never sent again by itself.
        retry_after_seconds: when the service asked to be called again, if it said so.
    """

    code, title = "provider-failed", "The remote service failed"
    moves_on = True

    def __init__(
        self,
        detail: str,
        *,
        parameter: str | None = None,
        may_have_billed: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail, parameter=parameter)
        self.may_have_billed = may_have_billed
        self.retry_after_seconds = retry_after_seconds


class ProviderUnreachableError(ProviderError):
    """No connection, a cut one, no answer in time, or a fault on the service's side."""

    code, title = "provider-unreachable", "The remote service does not answer"


class ProviderKeyError(ProviderError):
    """The key is missing, wrong, or not allowed to do this."""

    code, title = "provider-key", "The remote service does not accept the key"


class ProviderQuotaError(ProviderError):
    """The account has no money or no quota left; waiting a little does not help."""

    code, title = "provider-quota", "The remote account has nothing left"


class ProviderRateLimitedError(ProviderError):
    """Too many calls; it may be tried again after a while."""

    code, title = "provider-rate-limited", "The remote service asks to wait"


class ProviderModelGoneError(ProviderError):
    """The service does not offer this model, or no longer."""

    code, title = "provider-model-gone", "The remote service has no such model"


class ProviderAnswerError(ProviderError):
    """The answer is not what the service documents."""

    code, title = "provider-answer", "The remote service's answer makes no sense"


class ProviderRequestError(ProviderError):
    """The service says that the request is wrong."""

    code, title = "provider-request", "The remote service refuses the request"
    moves_on = False


class ProviderRefusedError(ProviderError):
    """The service will not draw this; the detail keeps its own reason."""

    code, title = "provider-refused", "The remote service declines to draw this"
    moves_on = False


class BudgetExceededError(AppError):
    """The key's budget does not cover what this would cost."""

    code, title = "budget-exceeded", "The budget is used up"
