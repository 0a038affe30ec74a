"""``keystead ca audit``: verifies the audit log, and reads it."""

from __future__ import annotations

import click

from keystead.ca.audit.entry import CLOCK_ACCEPTED
from keystead.ca.audit.log import Numbered, append, entries, newest, verify
from keystead.ca.authority.publish import is_behind
from keystead.ca.home import Home, open_authority, read_charter
from keystead.cli import options
from keystead.cli.ca.group import Place, actor, headline, placed
from keystead.cli.say import done, next_steps, note, print_json, say, table, warn
from keystead.machine.clock import system_clock
from keystead.pki.expiry import stamp, when


@click.command("audit")
@placed
@click.option("--last", type=click.IntRange(0), default=0, metavar="N", help="Show the last N entries too.")
@click.option("--accept-clock", is_flag=True, help="The clock had jumped ahead by mistake: go on from now.")
@options.as_json
def audit(place: Place, last: int, accept_clock: bool, as_json: bool) -> None:
    """Verify the whole audit log: every entry, their order, and the Merkle tree over them (RFC 9162)."""
    charter = read_charter(Home(place.home), place.environment)
    (note if as_json else say)(headline(charter))
    with open_authority(Home(place.home), charter, actor=actor()) as authority:
        if accept_clock:
            now = system_clock()
            with authority.inventory.writing() as tx:
                before = newest(tx)
                append(tx, [authority.entry(CLOCK_ACCEPTED, now, "ok", detail=f"newest was {before}")])
            done(f"from now on {when(now)} counts as the time of this machine")
        with authority.inventory.reading() as tx:
            verified = verify(tx)
            shown = list(entries(tx, max(0, verified.size - last))) if last else []
        behind = is_behind(authority)
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
