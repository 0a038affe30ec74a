"""What the supervisor and a worker say to each other: an order and commands downwards, reports upwards.

Downwards a worker believes what it is told, so that its order is a pickle. Upwards it does not go: a worker
speaks with the whole network, so that its reports are JSON, read within bounds. Not here: processes.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from socket import MSG_WAITALL, socket
from types import MappingProxyType
from typing import Any

from keystead import errors
from keystead.errors import KeysteadError
from keystead.tls.reloading import CredentialSource
from keystead.web.gate import App
from keystead.web.limits import Limits

MAX_REPORT = 64 * 1024
"""Octets of one report."""

_LENGTH = 4

Make = Callable[[], tuple[App, CredentialSource]]
"""Makes, in each worker, application and source of the material; pickled by name, with its arguments."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one worker, counted from 0 of ``workers``, is to do. Integers are descriptors that it inherits.

    ``wakes`` has one for each worker, by number.
    """

    worker: int
    workers: int
    make: Make
    limits: Limits
    sockets: tuple[int, ...]
    memory: int
    wakes: tuple[int, ...]
    log: int


class Command(Enum):
    """What a worker is told after its order, an octet each."""

    STOP = b"s"
    """Take nothing new, and finish what runs."""
    HURRY = b"h"
    """Cut what still runs."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker accepts connections."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker cannot start, or not go on, and ends."""

    error: KeysteadError


@dataclass(frozen=True, slots=True)
class Stopped:
    """The worker has ended properly; ``cut`` requests were not finished."""

    cut: int


def write_order(order: Order) -> bytes:
    """The order, after its length."""
    data = pickle.dumps(order)
    return len(data).to_bytes(_LENGTH) + data


def receive_order(channel: socket) -> Order:
    """The order, as it comes from our own parent."""
    length = int.from_bytes(channel.recv(_LENGTH, MSG_WAITALL))
    order = pickle.loads(channel.recv(length, MSG_WAITALL))  # noqa: S301  believed: it started this process
    assert isinstance(order, Order)
    return order


Report = Ready | Failed | Stopped

_ERRORS: Mapping[str, type[KeysteadError]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            errors.KeysteadError,
            errors.WrongUsage,
            errors.BadInput,
            errors.NotThere,
            errors.AlreadyThere,
            errors.Unavailable,
            errors.Distrusted,
        )
    }
)


def write_report(report: Report) -> bytes:
    """One line."""
    members: dict[str, Any] = {"report": type(report).__name__}
    if isinstance(report, Stopped):
        members["cut"] = report.cut
    if isinstance(report, Failed):
        error = report.error
        members |= {"kind": type(error).__name__, "what": error.what, "why": error.why}
        members |= {"mend": error.mend, "code": error.code}
    return json.dumps(members).encode("ascii") + b"\n"


def read_report(line: bytes) -> Report | None:
    """What the line says; None where it is no report."""
    try:
        members = json.loads(line)
        match members["report"]:
            case "Ready":
                return Ready()
            case "Stopped":
                return Stopped(int(members["cut"]))
            case "Failed":
                words = {name: str(members[name]) for name in ("why", "mend", "code")}
                kind = _ERRORS.get(members["kind"], KeysteadError)
                return Failed(kind(str(members["what"]), **words))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return None
