"""``keystead install``: what the CA gave back, proved and put in place."""

from __future__ import annotations

from pathlib import Path

import click

from keystead.cli import options, say
from keystead.machine.clock import system_clock
from keystead.pki.certificates import common_name, extended_key_usages, host_names
from keystead.pki.expiry import in_words, when
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.serials import serial_hex
from keystead.subscriber.install import Plan, Wish
from keystead.subscriber.install import install as put_in_place
from keystead.subscriber.layout import Folder
from keystead.subscriber.roles import Role

_FILE = click.Path(readable=False, path_type=Path)


@click.command()
@click.argument("certificate", type=_FILE, metavar="CERT")
@click.option("--ca", type=_FILE, metavar="FILE", help="The ca.crt to trust, where CERT does not bring it.")
@click.option(
    "--crl", type=_FILE, metavar="FILE", help="The revocation lists, where CERT does not bring them."
)
@click.option(
    "--fingerprint", metavar="F", help="The root certificate's fingerprint, as the CA's operator read it."
)
@options.directory
def install(
    certificate: Path, ca: Path | None, crl: Path | None, fingerprint: str | None, folder: Path
) -> None:
    """Check the certificate CERT against the key in this folder and the CA's chain, and put it in place.

    CERT is NAME.pem, which brings all that is needed, or NAME.crt with ca.crt and crl.pem beside it.
    """
    wish = Wish(certificate, ca, crl, fingerprint)
    _tell(put_in_place(Folder(folder), wish, system_clock()), is_pinned=fingerprint is not None)


def _tell(plan: Plan, *, is_pinned: bool) -> None:
    for remark in plan.remarks:
        say.warn(remark)
    for path in plan.changes:
        say.done(f"{path} is in place")
    if plan.ends_renewal:
        say.done(f"{plan.files.key} is the renewal's key now; the old one is gone")
    if not plan.changes:
        say.done(f"{plan.files.certificate} and all that came with it are in place already: nothing changed")
    leaf = plan.chain.leaf
    rows = [
        ("identity", plan.chain.identity.uri),
        ("serial", serial_hex(leaf.serial_number)),
        ("good until", _until(plan)),
    ]
    if covered := host_names(leaf):
        rows.append(("covers", str(covered)))
    rows.append(("root", f"{common_name(plan.root)}  {Fingerprint.of_certificate(plan.root)}"))
    say.fields(rows)
    if plan.anchor is not None and not is_pinned:
        say.note("Compare the root's fingerprint with the one that the CA's operator reads out.")
    say.next_steps(*_next(plan))


def _until(plan: Plan) -> str:
    end = plan.chain.leaf.not_valid_after_utc
    return f"{when(end)} ({in_words(end - system_clock())})"


def _next(plan: Plan) -> list[tuple[str, str]]:
    place = plan.folder.path
    where = options.at(place)
    if Role.SERVER.purpose in extended_key_usages(plan.chain.leaf):
        return [
            ("here", f"keystead serve{where}"),
            ("on a client's machine", "keystead csr NAME"),
        ]
    return [("here", f"keystead upload FILE --to https://SERVER:8443{where}")]
