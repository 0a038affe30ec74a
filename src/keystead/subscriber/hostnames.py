"""The names by which this machine is reached: what a server's certificate covers unasked.

Not here: names that the operator gives (``--san``).
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from threading import Thread

from keystead.errors import BadInput
from keystead.pki.names import LOCAL_TRIO, HostNames

_PATIENCE = 2.0
"""Seconds that the resolver gets for this machine's own full name."""


@dataclass(frozen=True, slots=True)
class OwnNames:
    """What a server here would be called; ``unusable`` are names of the machine that DNS does not allow."""

    host_names: HostNames
    unusable: tuple[str, ...]


def own_names() -> OwnNames:
    """The names of this machine: short, full where the resolver knows it in time, and the localhost trio."""
    short = socket.gethostname()
    return names_for(short, _full_name(short))


def names_for(short: str, full: str) -> OwnNames:
    """The names of a machine that is called ``short``, and ``full`` by a resolver.

    Resolvers answer ``localhost.localdomain`` and the like: a full name counts only where it begins with
    the short one.
    """
    bare = short.partition(".")[0]
    wanted = [bare, short, *([full] if full.partition(".")[0].lower() == bare.lower() else [])]
    usable, unusable = [], []
    for name in dict.fromkeys(filter(None, wanted)):
        try:
            HostNames.of([name])
        except BadInput:
            unusable.append(name)
        else:
            usable.append(name)
    return OwnNames(HostNames.of([*usable, *LOCAL_TRIO]), tuple(unusable))


def _full_name(short: str) -> str:
    found: list[str] = []
    # The resolver has no deadline of its own: a thread that is left behind ends with the process.
    asking = Thread(target=lambda: found.append(socket.getfqdn(short)), daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return found[0] if found else ""
