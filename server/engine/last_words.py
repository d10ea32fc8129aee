"""The last word on each picture: the file, or why there is none."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import torch

from server.domain.errors import AppError, GenerationFailedError
from server.engine.inbox import Inbox
from server.engine.messages import Draw, DrawFailed, DrawPicture
from server.engine.outbox import Outbox

log = logging.getLogger(__name__)

EXIT_DEVICE_ERROR = 4


class LastWords:
    """Says how each picture ended. Any thread may speak."""

    def __init__(self, inbox: Inbox, outbox: Outbox) -> None:
        self._inbox = inbox
        self._outbox = outbox

    def guarded(self, message: Draw, index: int, work: Callable[[], None]) -> bool:
        """Do `work`; whatever goes wrong ends this picture alone. Returns whether it went well."""
        try:
            work()
        except AppError as error:
            self._failed(message, index, error)
        except Exception as error:
            log.exception("draw %d failed", message.draw)
            end_at_device_fault(error)
            self._failed(
                message,
                index,
                GenerationFailedError(
                    f"the engine met {type(error).__name__}; the server's log has the details"
                ),
            )
        else:
            return True
        return False

    def say(self, message: DrawPicture | DrawFailed) -> None:
        """Send the last word on a picture."""
        self._outbox.put(message)
        self._inbox.picture_done(message.draw)

    def _failed(self, message: Draw, index: int, error: AppError) -> None:
        self.say(
            DrawFailed(
                draw=message.draw,
                index=index,
                code=error.code,
                detail=error.detail,
                parameter=error.parameter,
            )
        )


def end_at_device_fault(error: Exception) -> None:
    """End the process if the device is in error: every later call would fail, too."""
    if isinstance(error, torch.AcceleratorError):
        log.error("the device is in error: a new process is needed")
        os._exit(EXIT_DEVICE_ERROR)
