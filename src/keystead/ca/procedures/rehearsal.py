"""Practising a restore: all of it, in a home that is thrown away, so that what it proves is true.

The only thing left out is the last published list, for nobody is to rely on what comes of it. It opens the
CA's keys, so it stands in the log of the environment where that is. Not here: restoring (`restore`).
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from keystead.ca.audit.entry import REHEARSED, Entry
from keystead.ca.audit.log import append, recorded_at
from keystead.ca.home import Home, open_books, read_charter
from keystead.ca.inventory.store import Inventory
from keystead.ca.procedures.landing import Announce, Source
from keystead.ca.procedures.manifest import Manifest
from keystead.ca.procedures.restore import Restored, restore
from keystead.errors import BadInput, NotThere
from keystead.machine.clock import Clock, system_clock
from keystead.machine.oserrors import told
from keystead.machine.secrets import Secrets
from keystead.machine.throwaway import throwaway
from keystead.pki.fingerprints import Fingerprint

_BESIDE: Final = 64 << 20
"""Octets that a restore takes beside what is in the archive: logs of the databases."""


def rehearse(
    home: Home,
    source: Source,
    secrets: Secrets,
    *,
    actor: str,
    clock: Clock = system_clock,
    announce: Announce,
) -> Restored:
    """Restore ``source`` into a folder of memory (or of ``$TMPDIR``), which is removed; raises as `restore`.

    The keys come to lie there as they lie in the CA's home: sealed, except `dev`'s unsealed ones. Begun and
    done are audited where the archive's environment is in ``home``, before its keys are opened.
    """
    with told(source.path, "read"):
        size = source.path.stat().st_size
    with ExitStack() as stack:
        logs: list[Inventory] = []

        def begin(manifest: Manifest) -> None:
            announce(manifest)
            logs.extend(_log_of(home, manifest, stack))
            note("begun", manifest)

        def note(result: str, manifest: Manifest) -> None:
            for inventory in logs:
                with inventory.writing() as tx:
                    now = recorded_at(tx, clock())
                    append(tx, [Entry(actor, REHEARSED, now, result, request=manifest.backup)])

        with throwaway("rehearsal", 2 * size + _BESIDE) as folder:
            restored = restore(
                Home(folder / "home"), source, None, secrets, actor=actor, clock=clock, announce=begin
            )
        note("ok", restored.manifest)
    return restored


def _log_of(home: Home, manifest: Manifest, stack: ExitStack) -> list[Inventory]:
    """The inventory of the archive's environment; none where it is another CA's, lost or damaged.

    Then practising is what tells whether the archive can bring it back.
    """
    try:
        charter = read_charter(home, manifest.environment)
        if Fingerprint.of_certificate(charter.root).hex != manifest.root:
            return []
        return [stack.enter_context(open_books(charter)).inventory]
    except (NotThere, BadInput):
        return []
