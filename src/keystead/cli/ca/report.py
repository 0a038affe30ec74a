"""What `ca sign` says of its outcomes: one in full, some in a table, many by a bar and what went wrong."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cryptography import x509

from keystead.ca.authority.model import Outcome, Rejected, Repeated, Signed
from keystead.ca.handout import Clerk, HandedOut, Parcel
from keystead.cli.ca.group import Place
from keystead.cli.say import done, fail, fields, next_steps, note, say, table, warn
from keystead.pki.expiry import when
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import EXPERIMENTAL, is_experimental

FEW = 20
"""Up to this many outcomes are listed one by one."""


class Report:
    """Hands out each group of answers as it comes, and says what became of every submission."""

    def __init__(self, place: Place, clerk: Clerk, *, total: int) -> None:
        self._place = place
        self._clerk = clerk
        self._total = total
        self._answered: list[tuple[Signed | Repeated, HandedOut]] = []
        self._rejected: list[Rejected] = []
        self._tally: Counter[str] = Counter()

    def tell(self, groups: Iterable[Sequence[Outcome]]) -> int:
        """Consume ``groups``; the exit code: 1 where one was rejected."""
        for group in self._with_bar(groups):
            self._hand_out(group)
        self._clerk.settle()
        if self._total == 1:
            return self._tell_one()
        return self._tell_many()

    def _hand_out(self, group: Sequence[Outcome]) -> None:
        answers = [outcome for outcome in group if not isinstance(outcome, Rejected)]
        self._tally.update("signed" if isinstance(each, Signed) else "given back again" for each in answers)
        parcels = list(map(Parcel.of, answers))
        if self._total <= FEW:
            self._answered += zip(answers, self._clerk.hand_out(parcels), strict=True)
        else:
            self._clerk.deliver(parcels)
        self._rejected += [outcome for outcome in group if isinstance(outcome, Rejected)]

    def _with_bar(self, groups: Iterable[Sequence[Outcome]]) -> Iterator[Sequence[Outcome]]:
        if self._total <= FEW or not sys.stderr.isatty():
            yield from groups
            return
        from rich.console import Console  # noqa: PLC0415  only a bar pays for it
        from rich.progress import (  # noqa: PLC0415  likewise
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (TextColumn("signing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("signing", total=self._total)
            for group in groups:
                yield group
                progress.advance(task, len(group))

    def _tell_one(self) -> int:
        for rejected in self._rejected:
            fail(rejected.error)
            return rejected.error.exit_code
        ((answer, handed),) = self._answered
        certificate = answer.certificate
        again = isinstance(answer, Repeated)
        done(
            f"{answer.identity} {'has this certificate already: here it is again' if again else 'is signed'}"
        )
        fields(
            [
                ("serial", certificate.serial),
                ("hosts", ", ".join(certificate.sans) or "none"),
                ("until", when(certificate.not_after)),
                ("key", str(Fingerprint(bytes.fromhex(certificate.key_fingerprint)))),
                ("files", f"{handed.bundle} (the one to send back: certificate, ca.crt and crl.pem in one)"),
            ]
        )
        if isinstance(answer, Signed):
            _tell_differences(answer)
        self._warn_of_experiments()
        if handed.certificate is None:
            note(
                f"{handed.bundle.removesuffix('.pem')}.crt is left as it is: a renewal waits there, and"
                " `install` changes key and certificate together"
            )
        next_steps(
            ("send the one file back", f"scp {shlex.quote(handed.bundle)} HOST:"),
            ("on the subscriber's machine", f"keystead install {shlex.quote(Path(handed.bundle).name)}"),
        )
        return 0

    def _tell_many(self) -> int:
        if self._total <= FEW:
            table(
                ("CSR", "identity", "serial", "until"),
                [
                    (
                        Path(answer.source).name,
                        str(answer.identity),
                        answer.certificate.serial,
                        _until(answer),
                    )
                    for answer, _ in self._answered
                ],
            )
        self._warn_of_experiments()
        for rejected in self._rejected:
            fail(rejected.error)
            note(f"    in: {rejected.source}")
        self._tally["refused"] = len(self._rejected)
        table(("outcome", "CSRs"), [(word, str(count)) for word, count in self._tally.items()])
        if self._tally.total() > len(self._rejected):
            next_steps(
                ("send each NAME.pem back to its subscriber", "scp NAME.pem HOST:"),
                ("on the subscriber's machine", "keystead install NAME.pem"),
            )
        else:
            say(f"Nothing was signed. What there is: {self._place.command('list')}")
        return 1 if self._rejected else 0

    def _warn_of_experiments(self) -> None:
        certificates = (
            x509.load_der_x509_certificate(answer.certificate.der) for answer, _ in self._answered
        )
        if any(is_experimental(certificate.public_key()) for certificate in certificates):
            warn(EXPERIMENTAL)


def _until(answer: Signed | Repeated) -> str:
    return when(answer.certificate.not_after) + (" (again)" if isinstance(answer, Repeated) else "")


def _tell_differences(answer: Signed) -> None:
    if answer.capped:
        note(
            f"its lifetime is shorter than asked for: the profile {answer.identity.profile}, or the issuing"
            " CA's own end, allows no more"
        )
    for serial in answer.replaced:
        note(f"{serial} is revoked for it, and crl.pem says so: carry it to every server")
    if answer.left_out:
        note(f"left out, for the profile has no place for it: {', '.join(answer.left_out)}")
