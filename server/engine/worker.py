"""The worker process: `python -m server.engine.worker --fd N --device cpu`.

It owns one device, talks over one socket, writes no files, and ends when the socket closes.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

from server.engine.inbox import Inbox
from server.engine.outbox import Outbox

_PR_SET_PDEATHSIG = 1
# No library fetches anything, reports anything, or runs code that came with a model.
_LIBRARY_SETTINGS = {
    "DIFFUSERS_DISABLE_REMOTE_CODE": "true",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Their advice would put prompts into the log.
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
}
# torchao, which diffusers imports where it is installed, tells of compiled parts that this build of
# torch has no use for.
_NOISY_AT_IMPORT = ("torchao", "torch.utils._pytree")


def main() -> int:
    """Connect first, then import the heavy libraries, so that the server already hears of us."""
    parser = argparse.ArgumentParser(prog="server.engine.worker", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="the connected socket")
    parser.add_argument("--device", required=True, help="cpu, cuda:0, ...")
    arguments = parser.parse_args()
    _end_with_parent()
    os.environ.update(_LIBRARY_SETTINGS)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(name)s %(message)s")
    for name in _NOISY_AT_IMPORT:
        logging.getLogger(name).setLevel(logging.ERROR)
    end = socket.socket(fileno=arguments.fd)
    outbox = Outbox(end)
    inbox = Inbox(end, outbox)
    for work in (inbox.read_forever, outbox.send_forever):
        threading.Thread(target=_ending, args=(work,), daemon=True).start()

    from server.engine.loop import serve

    serve(inbox, outbox, arguments.device)
    return 0


def _ending(work: Callable[[], int]) -> None:
    """Do `work`, then end the process at once, whatever the other threads are in the middle of.

    Nobody is left to draw for, and nothing here is worth saving.
    """
    os._exit(work())


def _end_with_parent() -> None:
    """Have the kernel end this process with its parent, even while it is stopped or stuck."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
