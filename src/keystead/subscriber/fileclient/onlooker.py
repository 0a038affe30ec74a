"""Who is told how a transfer goes, while it goes. How that is shown is the command line's."""

from __future__ import annotations

from typing import Protocol

from keystead.errors import KeysteadError


class Onlooker(Protocol):
    """Is told of one file's way, from the thread that sends or fetches it."""

    def begins(self, size: int | None) -> None:
        """The file has so many octets; None where the other side does not say."""

    def stands_at(self, octets: int) -> None:
        """So many octets of the file are done, in this run or in an earlier one."""

    def goes_on(self, octets: int, size: int) -> None:
        """So many of its octets are over there, or here, from before: what is missing follows."""

    def begins_anew(self) -> None:
        """What is there from before is of another state of the file, and is dropped."""

    def waits(self, seconds: float, error: KeysteadError) -> None:
        """Because of ``error`` it is tried again after so many seconds."""


class Nobody:
    """An `Onlooker` who does not care."""

    def begins(self, size: int | None) -> None:
        """Nothing."""

    def stands_at(self, octets: int) -> None:
        """Nothing."""

    def goes_on(self, octets: int, size: int) -> None:
        """Nothing."""

    def begins_anew(self) -> None:
        """Nothing."""

    def waits(self, seconds: float, error: KeysteadError) -> None:
        """Nothing."""
