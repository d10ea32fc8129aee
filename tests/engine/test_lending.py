"""A trainer, a worker and the server between them: real processes, real kills."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from server.domain.lending import ADDRESS_FILE, FROM_TRAINER, Lent, Loan, Refused
from server.domain.models import EngineModel
from server.engine.client import EngineWorker
from server.engine.lending import Lender
from server.engine.loading import load
from server.engine.messages import Limits
from server.engine.wire import encode, read
from tests.engine.drawing import request
from tests.engine.workers import new_worker, picture_of, running

REPOSITORY = Path(__file__).parents[2]
# A process that borrows, and then does as it is told on its standard input.
TRAINER = """
import sys
from pathlib import Path
from training.lending import BorrowedMemory, LoanRefusedError, NobodyLendsError

say = lambda *words: print(*words, flush=True)
try:
    memory = BorrowedMemory(
        Path(sys.argv[1]), int(sys.argv[2]), name="mira", on_waiting=lambda: say("waiting")
    )
except (LoanRefusedError, NobodyLendsError) as error:
    say("refused", error)
    sys.exit(1)
say("lent", memory.device)
for line in sys.stdin:
    match line.split():
        case ["report", seconds]:
            memory.report(float(seconds))
        case ["wanted?"]:
            say(memory.is_wanted_back)
        case ["give", "back"]:
            memory.give_back()
            say("given back")
"""


class Trainer:
    """One such process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self._in, self._out = process, process.stdin, process.stdout

    async def says(self) -> str:
        async with asyncio.timeout(60):
            return (await self._out.readline()).decode().strip()

    def tell(self, words: str) -> None:
        self._in.write(f"{words}\n".encode())


@asynccontextmanager
async def trainer(data_dir: Path, size_bytes: int) -> AsyncIterator[Trainer]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", TRAINER, str(data_dir), str(size_bytes)),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Trainer(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture(scope="module")
def size(models: dict[str, EngineModel]) -> int:
    import torch

    return load(models["tiny"], torch.device("cpu")).weights.size_bytes


@pytest.fixture
async def worker(models: dict[str, EngineModel], size: int) -> AsyncIterator[EngineWorker]:
    """A real process on a device that holds two small models and no more."""
    limits = Limits(device_bytes=2 * size, main_bytes=0, keep_alive_seconds=None)
    async with running(new_worker(models, limits=limits)) as started:
        yield started


@pytest.fixture
async def lender(worker: EngineWorker, tmp_path: Path) -> AsyncIterator[Lender]:
    lender = Lender([worker], tmp_path)
    await lender.start()
    yield lender
    await lender.stop()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what is waited for is another process's
            await asyncio.sleep(0.01)


def lent(worker: EngineWorker) -> int:
    return 0 if worker.memory is None else worker.memory.lent_bytes


async def test_memory_is_lent_reported_on_and_given_back(
    worker: EngineWorker, lender: Lender, tmp_path: Path, size: int
) -> None:
    async with trainer(tmp_path, size) as mira:
        assert await mira.says() == "lent cpu"
        assert lent(worker) == size
        mira.tell("report 90")
        await until(lambda: lender.loans[0].seconds_left is not None)
        loan = lender.loans[0]
        assert 80 < (loan.seconds_left or 0) <= 90
        assert loan == Loan(
            name="mira", device="cpu", size_bytes=size, is_lent=True, seconds_left=loan.seconds_left
        )
        assert lender.want_back("cpu") == 1
        assert lender.want_back("cuda:7") == 0
        await asyncio.sleep(0.2)
        mira.tell("wanted?")
        assert await mira.says() == "True"
        mira.tell("give back")
        assert await mira.says() == "given back"
        await until(lambda: lent(worker) == 0 and lender.loans == ())


async def test_a_trainer_that_is_killed_gives_back_what_it_had(
    worker: EngineWorker, lender: Lender, tmp_path: Path, size: int
) -> None:
    async with trainer(tmp_path, size * 3 // 2) as mira:
        assert await mira.says() == "lent cpu"
        waiting = asyncio.create_task(picture_of(worker, request(model="tiny")))
        await until(lambda: worker.memory is not None and worker.memory.held == ("tiny",))
        mira.process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(60):
            await waiting  # the picture that waited for the memory is drawn
    assert (lent(worker), lender.loans) == (0, ())


async def test_it_is_lent_only_when_the_picture_under_way_is_done(
    worker: EngineWorker, lender: Lender, tmp_path: Path, size: int
) -> None:
    drawing = asyncio.create_task(picture_of(worker, request(model="tiny", num_inference_steps=99)))
    await until(lambda: worker.loaded_models == ("tiny",))
    async with trainer(tmp_path, size * 3 // 2) as mira:
        first = await mira.says()
        if first == "waiting":
            assert lender.loans[0].is_lent is False
            first = await mira.says()
        assert first == "lent cpu"
        assert drawing.done()
        assert worker.loaded_models == ()
    await drawing


async def test_pictures_are_drawn_beside_a_training_where_both_fit(
    worker: EngineWorker, lender: Lender, tmp_path: Path, size: int
) -> None:
    async with trainer(tmp_path, size // 2) as mira:
        assert await mira.says() == "lent cpu"
        await picture_of(worker, request(model="tiny"))
        assert lender.loans[0].is_lent


async def test_what_no_device_has_is_refused_by_its_numbers(
    worker: EngineWorker, lender: Lender, tmp_path: Path
) -> None:
    async with trainer(tmp_path, 2**40) as mira:
        said = await mira.says()
    assert said.startswith("refused 1024.0 GiB cannot be lent: there are")
    assert lender.loans == ()


async def test_without_a_server_nobody_is_asked(tmp_path: Path) -> None:
    async with trainer(tmp_path, 1) as alone:
        assert (await alone.says()).startswith("refused no server lends memory")


async def test_a_worker_that_takes_the_place_of_a_dead_one_knows_what_is_lent(
    worker: EngineWorker, lender: Lender, tmp_path: Path, size: int
) -> None:
    async with trainer(tmp_path, size) as mira:
        assert await mira.says() == "lent cpu"
        first = worker.epoch
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        await until(lambda: worker.epoch > first and lent(worker) == size)
        mira.tell("give back")
        await until(lambda: lent(worker) == 0)
        assert await mira.says() == "given back"


async def test_a_trainer_finds_a_server_that_was_started_anew(
    worker: EngineWorker, tmp_path: Path, size: int
) -> None:
    first = Lender([worker], tmp_path)
    await first.start()
    async with trainer(tmp_path, size) as mira:
        assert await mira.says() == "lent cpu"
        mira.tell("report 500")
        await until(lambda: first.loans[0].seconds_left is not None)
        await first.stop()
        await until(lambda: lent(worker) == 0)
        second = Lender([worker], tmp_path)
        await second.start()
        try:
            await until(lambda: len(second.loans) == 1 and second.loans[0].is_lent)
            await until(lambda: second.loans[0].seconds_left is not None)
            assert lent(worker) == size
            mira.tell("give back")
            await until(lambda: second.loans == () and lent(worker) == 0)
        finally:
            await second.stop()


async def test_two_trainers_share_a_device_or_wait_for_one_another(
    worker: EngineWorker, lender: Lender, tmp_path: Path, size: int
) -> None:
    async with trainer(tmp_path, size) as mira, trainer(tmp_path, size * 3 // 2) as other:
        said = {await mira.says(), await other.says()}
        assert len(said & {"lent cpu"}) == 1, said
        holder, waiter = (mira, other) if lent(worker) == size else (other, mira)
        holder.tell("give back")
        assert await holder.says() == "given back"
        assert await waiter.says() == "lent cpu"


async def test_a_worker_that_was_stopped_ends_its_loans_and_nothing_spins(
    worker: EngineWorker, lender: Lender, tmp_path: Path, size: int
) -> None:
    async with trainer(tmp_path, size) as mira:
        assert await mira.says() == "lent cpu"
        await worker.stop()
        await until(lambda: lender.loans == ())


async def test_a_trainer_that_is_sent_away_does_not_ask_all_the_time(tmp_path: Path) -> None:
    asked: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read(reader, FROM_TRAINER)
        asked.append(time.monotonic())
        first = len(asked) == 1
        writer.write(encode(Lent(device="cpu") if first else Refused(detail="no such device")))
        writer.close()

    with tempfile.TemporaryDirectory() as folder:  # pytest's is too long a path for a socket
        server = await asyncio.start_unix_server(answer, f"{folder}/a.sock")
        (tmp_path / ADDRESS_FILE).write_text(f"{folder}/a.sock")
        async with server, trainer(tmp_path, 1) as mira:
            assert await mira.says() == "lent cpu"
            await until(lambda: len(asked) > 2)
    assert asked[2] - asked[1] > 0.5


async def test_only_this_user_may_ask(lender: Lender, tmp_path: Path) -> None:
    address = (tmp_path / "lending").read_text()
    mode = await asyncio.to_thread(lambda: Path(address).stat().st_mode)
    assert mode & 0o777 == 0o600


async def test_nonsense_at_the_socket_ends_only_itself(lender: Lender, tmp_path: Path) -> None:
    address = (tmp_path / "lending").read_text()
    reader, writer = await asyncio.open_unix_connection(address)
    writer.write(b"\x00\x00\x00\x05hello")
    assert await reader.read() == b""
    writer.close()
    assert lender.loans == ()
