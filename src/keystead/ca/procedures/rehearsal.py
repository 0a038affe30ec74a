"""Practising a restore: all of it, in a home that is thrown away, so that what it proves is true.

The only thing left out is the last published list, for nobody is to rely on what comes of it. Not here:
restoring (`restore`).
"""

from __future__ import annotations

from keystead.ca.home import Home
from keystead.ca.procedures.landing import Announce, Source
from keystead.ca.procedures.restore import Restored, restore
from keystead.machine.oserrors import told
from keystead.machine.secrets import Secrets
from keystead.machine.throwaway import throwaway

_BESIDE = 64 << 20
"""Octets that a restore takes beside what is in the archive: logs of the databases."""


def rehearse(source: Source, secrets: Secrets, *, actor: str, announce: Announce) -> Restored:
    """Restore ``source`` into a folder of memory (or of ``$TMPDIR``), which is removed; raises as `restore`.

    The keys come to lie there as they lie in the CA's home: sealed, except `dev`'s unsealed ones.
    """
    with told(source.path, "read"):
        size = source.path.stat().st_size
    with throwaway("rehearsal", 2 * size + _BESIDE) as folder:
        return restore(Home(folder / "home"), source, None, secrets, actor=actor, announce=announce)
