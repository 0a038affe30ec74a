"""``keystead ca backup``: takes a backup of an environment, or practises the restore of one."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from keystead.ca.authority.model import Charter
from keystead.ca.home import Home, open_authority, read_charter
from keystead.ca.procedures.backup import Taken, default_name, take
from keystead.ca.procedures.landing import Source
from keystead.ca.procedures.rehearsal import rehearse
from keystead.cli import options
from keystead.cli.ca import archives
from keystead.cli.ca.group import Place, actor, headline, placed, secrets_from
from keystead.cli.say import done, fields, next_steps, note, say, warn
from keystead.cli.sizes import in_words
from keystead.custody.recipients import Opener, Recipients
from keystead.custody.vault import Sealing, sealing_of
from keystead.errors import WrongUsage
from keystead.machine.clock import system_clock
from keystead.machine.folders import make_private_folder
from keystead.machine.secrets import Passphrase
from keystead.pki.expiry import when


@click.command("backup")
@placed
@click.option(
    "--out",
    type=click.Path(),  # as text: a path has no slash at its end
    help="Write it there: a new file, or a folder (DIR/ is made).  [default: ENV-DATE.backup here]",
)
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="R",
    help="Seal it to this key: age1…, ssh-ed25519 …, ssh-rsa …, or a FILE of these. May be repeated.",
)
@archives.passphrase_file
@click.option(
    "--verify",
    "archive",
    type=click.Path(dir_okay=False, readable=False, path_type=Path),
    metavar="ARCHIVE",
    help="Take none: practise the restore of this one, in a folder that is thrown away.",
)
@archives.identity
@options.passphrase_file
def backup(
    place: Place,
    out: str | None,
    recipients: tuple[str, ...],
    archive_passphrase_file: Path | None,
    archive: Path | None,
    identity: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Write all of an environment into one sealed file, while signing goes on.

    It holds the keys (sealed as they lie there), certificates, ca.toml, crl.pem and the inventory with its
    audit log. It is sealed with a passphrase of its own, or to recipients. The CA's keys are not opened for
    it; with --verify they are, to sign a test.
    """
    if archive is not None:
        if out is not None or recipients:
            raise WrongUsage("--verify takes no backup: --out and --recipient have no meaning with it")
        _verify(place, archives.source(place, archive, identity, archive_passphrase_file), passphrase_file)
        return
    if identity is not None:
        raise WrongUsage(
            "--identity opens an archive: it goes with --verify", mend="keystead ca backup --help"
        )
    charter = read_charter(Home(place.home), place.environment)
    say(headline(charter))
    to = archives.sealing(recipients, archive_passphrase_file, charter.environment)
    with open_authority(Home(place.home), charter, actor=actor()) as authority:
        taken = take(authority, to, _path(out, charter))
    _tell(taken, charter, to)
    name = shlex.quote(str(taken.path))
    next_steps(
        ("here, that it can be restored", place.command(f"backup --verify {name}{_opener(to)}")),
        ("take it to another machine", f"scp {name} ELSEWHERE:"),
    )


def _path(out: str | None, charter: Charter) -> Path:
    name = default_name(charter, system_clock())
    if out is None:
        return Path(name)
    if out.endswith("/"):
        make_private_folder(Path(out))
    return Path(out, name) if Path(out).is_dir() else Path(out)


def _opener(lock: Recipients | Opener | Passphrase) -> str:
    return "" if isinstance(lock, Passphrase) else " --identity FILE"


def _tell(taken: Taken, charter: Charter, to: Recipients | Passphrase) -> None:
    manifest = taken.manifest
    done(f"{taken.path} holds all of {manifest.trust_domain} as of {when(manifest.audit.newest)}")
    fields(
        [
            ("certificates", f"{manifest.certificates:,}"),
            ("revocations", f"{manifest.revocations:,}"),
            ("keys", _keys(taken, charter)),
            ("audit log", f"{manifest.audit.entries:,} entries, root {manifest.audit.root}"),
            ("size", f"{in_words(taken.size)}, mode 0600"),
            ("opened by", "its passphrase" if isinstance(to, Passphrase) else ", ".join(to.spelled)),
        ]
    )
    if not taken.has_root_key:
        warn("the root's key is not in it, for it is not here: back it up where it is kept")
    say()
    say("Keep it on another machine, and what opens it apart from both: with it somebody can be this CA.")
    say("To bring it back you also need the newest crl.pem, which every server has.")


def _keys(taken: Taken, charter: Charter) -> str:
    stems = "root and issuing" if taken.has_root_key else "issuing"
    how = {
        Sealing.NONE: "NOT sealed inside: whoever opens the archive is this CA",
        Sealing.PASSPHRASE: "sealed inside too, with the passphrase of the CA keys",
        Sealing.IDENTITY: "sealed inside too, to the age identity of the CA keys",
    }
    return f"{stems}, {how[sealing_of(charter.folder, 'issuing')]}"


def _verify(place: Place, source: Source, passphrase_file: Path | None) -> None:
    restored = rehearse(
        Home(place.home), source, secrets_from(passphrase_file), actor=actor(), announce=archives.announce
    )
    done(f"{source.path} can be restored: it was, into a folder that is gone again")
    fields(archives.proofs(restored))
    if "root" not in restored.keys:
        warn("the root's key is not in it: it is kept elsewhere, and has to be backed up there")
    note("The audit log's root is what to compare with one that was noted elsewhere (`keystead ca audit`).")
    place = place.and_also(None, restored.manifest.environment)
    next_steps(
        (
            "on a new machine, if this one is lost",
            place.command(f"restore {shlex.quote(str(source.path))} --crl crl.pem{_opener(source.by)}"),
        )
    )
