"""``keystead ca audit``: verifies the audit log, and reads it."""

from __future__ import annotations

from collections.abc import Callable

import click

from keystead.ca.audit.entry import CLOCK_ACCEPTED, Entry
from keystead.ca.audit.log import Numbered, append, entries, newest, verify
from keystead.ca.authority.publish import is_behind
from keystead.ca.home import Home, open_books, read_charter
from keystead.ca.inventory.store import Inventory
from keystead.ca.procedures.claiming import Rebuilt, rebuild
from keystead.cli import options
from keystead.cli.ca.group import Place, actor, headline, placed
from keystead.cli.say import done, next_steps, note, print_json, say, table, warn
from keystead.machine.clock import system_clock
from keystead.pki.expiry import stamp, when


@click.command("audit")
@placed
@click.option("--last", type=click.IntRange(0), default=0, metavar="N", help="Show the last N entries too.")
@click.option("--accept-clock", is_flag=True, help="The clock had jumped ahead by mistake: go on from now.")
@click.option(
    "--rebuild-keys",
    is_flag=True,
    help="keys.db is lost, and there is no backup: make it anew of what all environments have issued.",
)
@options.as_json
def audit(place: Place, last: int, accept_clock: bool, rebuild_keys: bool, as_json: bool) -> None:
    """Verify the whole audit log: every entry, their order, and the Merkle tree over them (RFC 9162)."""
    home = Home(place.home)
    charter = read_charter(home, place.environment)
    (note if as_json else say)(headline(charter))
    if rebuild_keys:
        _tell_rebuilt(rebuild(home, actor=actor()), note if as_json else done)
    with open_books(charter) as books:
        if accept_clock:
            _accept_clock(books.inventory, note if as_json else done)
        with books.inventory.reading() as tx:
            verified = verify(tx)
            shown = list(entries(tx, max(0, verified.size - last))) if last else []
        behind = is_behind(books)
    if as_json:
        print_json(
            {
                "entries": verified.size,
                "root": verified.root.hex(),
                "newest": stamp(verified.newest) if verified.newest else None,
                "crl_is_behind": behind,
                "last": [_as_json(numbered) for numbered in shown],
            }
        )
        return
    done(f"the audit log is whole: {verified.size} entries, root {verified.root.hex()}")
    if shown:
        table(
            ("no.", "when", "who", "what", "result", "serial", "detail"),
            [
                (
                    str(n.seq),
                    when(n.entry.when),
                    n.entry.who,
                    n.entry.what,
                    n.entry.result,
                    n.entry.serial,
                    n.entry.detail,
                )
                for n in shown
            ],
        )
    if behind:
        warn("a revocation is recorded that crl.pem does not show")
        next_steps(("here", place.command("crl --issuing-only")))
    else:
        next_steps(("what was issued", place.command("list")))


def _accept_clock(inventory: Inventory, tell: Callable[[str], None]) -> None:
    now = system_clock()
    with inventory.writing() as tx:
        before = newest(tx)
        append(tx, [Entry(actor(), CLOCK_ACCEPTED, now, "ok", detail=f"newest was {before}")])
    tell(f"from now on {when(now)} counts as the time of this machine")


def _tell_rebuilt(rebuilt: Rebuilt, tell: Callable[[str], None]) -> None:
    of = ", ".join(rebuilt.environments)
    tell(f"keys.db knows the {rebuilt.held} keys that were certified in {of}; {rebuilt.barred} are barred")
    if rebuilt.aside is not None:
        note(f"  what stood there and could not be read is {rebuilt.aside}")
    if rebuilt.crossed:
        warn(f"{rebuilt.crossed} keys are certified in two environments: revoke them in one of the two")
    warn(
        "keys that were barred and never certified here are not known any more, such as a private key that"
        " somebody sent for signing: where you still have one, `keystead ca sign FILE` bars it again"
    )
    if rebuilt.unknown:
        warn(f"so are the keys of {rebuilt.unknown} revoked certificates that a restore did not bring back")


def _as_json(numbered: Numbered) -> dict[str, str | int]:
    entry = numbered.entry
    return {
        "number": numbered.seq,
        "when": stamp(entry.when),
        "who": entry.who,
        "what": entry.what,
        "result": entry.result,
        "serial": entry.serial,
        "request": entry.request,
        "detail": entry.detail,
    }
