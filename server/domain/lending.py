"""What a trainer and the server say to each other about a device's memory: frozen values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from server.domain.images import Frozen

ADDRESS_FILE = "lending"  # in the data folder: where the server's socket is


class Borrow(Frozen):
    """May I have so much of a device? Closing the connection gives it back.

    Attributes:
        name: what for, shown to who waits meanwhile.
        device: which one; None: the one with the most room.
        size_bytes: how much in all.
        taken_bytes: how much of it this process has already: the server was started anew.
    """

    type: Literal["borrow"] = "borrow"
    name: str = Field(min_length=1, max_length=200)
    device: str | None
    size_bytes: int = Field(gt=0)
    taken_bytes: int = Field(default=0, ge=0)


class Report(Frozen):
    """How long it will still be needed, for those who wait; None: nobody knows."""

    type: Literal["report"] = "report"
    seconds_left: float | None = Field(ge=0)


class Lent(Frozen):
    """It is free now, and nobody else will take it."""

    type: Literal["lent"] = "lent"
    device: str


class Refused(Frozen):
    """It will never be: the device has not so much, or there is no such device."""

    type: Literal["refused"] = "refused"
    detail: str


class WantedBack(Frozen):
    """Others wait: give it back at the next checkpoint, and ask again."""

    type: Literal["wanted_back"] = "wanted_back"


FROM_TRAINER: TypeAdapter[Borrow | Report] = TypeAdapter(
    Annotated[Borrow | Report, Field(discriminator="type")]
)
TO_TRAINER: TypeAdapter[Lent | Refused | WantedBack] = TypeAdapter(
    Annotated[Lent | Refused | WantedBack, Field(discriminator="type")]
)


class Loan(Frozen):
    """Memory of a device that a trainer holds, or waits for."""

    name: str
    device: str
    size_bytes: int
    is_lent: bool
    seconds_left: float | None
