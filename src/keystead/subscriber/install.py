"""Taking in what the CA gave back: proved first, against a key of this folder and the chain, then in place.

`examine` changes nothing and raises for all that is wrong; `carry_out` only writes. Not here: reading the
files that came (`handout`).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from keystead.errors import Distrusted, KeysteadError, NotThere
from keystead.machine.files import PUBLIC, write_atomic
from keystead.machine.locks import hold
from keystead.pki.certificates import common_name, has_key, identity_of, to_pem
from keystead.pki.chains import VerifiedChain, verify
from keystead.pki.expiry import when
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import PrivateKey, PublicKey, is_signed_by, load_private_pem, sign
from keystead.pki.origins import owner
from keystead.subscriber import lists, swap
from keystead.subscriber.folder import check_anchors, read_anchors
from keystead.subscriber.handout import Handout, read_handout
from keystead.subscriber.keyfile import read_key
from keystead.subscriber.layout import Files, Folder
from keystead.subscriber.pair import Pair, read_pair


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says: the file that came, and whatever goes with it."""

    source: Path
    ca: Path | None = None
    crl: Path | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What `carry_out` will do: all of it proved. None stands for what is in place already.

    ``ends_renewal`` says that the certificate belongs to ``NAME.new.key``. ``remarks`` are warnings.
    """

    folder: Folder
    files: Files
    chain: VerifiedChain
    ends_renewal: bool
    certificate: bytes | None
    anchor: bytes | None
    crls: bytes | None
    remarks: tuple[str, ...]

    @property
    def changes(self) -> tuple[Path, ...]:
        """The files that are written, in the order of writing."""
        steps = (
            (self.folder.ca, self.anchor),
            (self.folder.crl, self.crls),
            (self.files.certificate, self.certificate),
        )
        return tuple(path for path, data in steps if data is not None)

    @property
    def root(self) -> x509.Certificate:
        """The anchor of the chain."""
        return self.chain.certificates[-1]


def install(folder: Folder, wish: Wish, now: datetime) -> Plan:
    """Check what ``wish`` names and put it in place; the plan that was carried out.

    Raises before anything is changed: `BadInput` for files that are not what they should be, `NotThere`
    where no key here fits, `Distrusted` for a chain, root or revocation list that cannot be trusted.
    """
    folder.require()
    with hold(folder.lock, "keystead install"):
        plan = examine(folder, wish, now)
        carry_out(plan)
    return plan


def examine(folder: Folder, wish: Wish, now: datetime) -> Plan:
    """What is to be done; raises as `install` does, and changes nothing."""
    handout = read_handout(wish.source, folder, wish.ca, wish.crl)
    holder = _holder(folder, handout)
    chain = _verified(handout, now)
    _prove_possession(holder.key, chain.leaf)
    anchor = _new_anchor(folder, chain, wish)
    is_other_root = anchor is not None and folder.ca.exists()
    taken = lists.take(folder, handout.crls, chain, now, afresh=is_other_root)
    pem = to_pem(*chain.certificates[:-1])
    there = None if holder.is_new else _pair_in_place(holder.files)
    is_there = there is not None and there.chain_pem == pem
    return Plan(
        folder=folder,
        files=holder.files,
        chain=chain,
        ends_renewal=holder.is_new,
        certificate=None if is_there else pem,
        anchor=anchor,
        crls=taken.pem,
        remarks=(
            *taken.remarks,
            *_older(there, chain),
            *(_strangers(folder, chain) if is_other_root else ()),
        ),
    )


def carry_out(plan: Plan) -> None:
    """Write what the plan says: anchor and lists first, so that a certificate never stands without them."""
    if plan.anchor is not None:
        write_atomic(plan.folder.ca, plan.anchor, PUBLIC)
    if plan.crls is not None:
        write_atomic(plan.folder.crl, plan.crls, PUBLIC)
    if plan.certificate is not None:
        put: Callable[[Files, bytes], None] = swap.swap if plan.ends_renewal else swap.put
        put(plan.files, plan.certificate)


@dataclass(frozen=True, slots=True)
class _Holder:
    """The key of this folder that the certificate belongs to; ``is_new`` for that of a renewal."""

    files: Files
    key: PrivateKey
    is_new: bool


def _holder(folder: Folder, handout: Handout) -> _Holder:
    places = [
        *((files, files.key, False) for files in folder.all()),
        *((files, files.new_key, True) for files in folder.renewals()),
    ]
    seen: list[str] = []
    for files, path, is_new in places:
        try:
            key = load_private_pem(read_key(path), str(path))
        except KeysteadError as error:
            seen.append(error.what)
            continue
        if has_key(handout.leaf, key.public_key()):
            return _Holder(files, key, is_new)
        there = _pair_in_place(files)
        whose = f", of {owner(there.leaf)}" if there is not None else ""
        seen.append(f"{path.name} {Fingerprint.of_key(key.public_key())}{whose}")
    theirs = f"{Fingerprint.of_key(handout.leaf.public_key())} of {owner(handout.leaf)}"
    raise NotThere(
        f"{handout.source} belongs to no key in {folder.path}",
        why=f"it certifies the key {theirs}; here: {'; '.join(seen) or 'no key at all'}",
        mend="install it in the folder that its CSR was made in (--dir DIR), or make a CSR here:"
        f" keystead csr NAME --dir {shlex.quote(str(folder.path))}",
        code="key-mismatch",
    )


def _verified(handout: Handout, now: datetime) -> VerifiedChain:
    try:
        return verify(handout.leaf, handout.intermediates, handout.anchors, now=now)
    except Distrusted as error:
        if error.code != "unknown-ca" or handout.intermediates:
            raise
        raise Distrusted(
            error.what,
            why=f"{error.why}; and {handout.source} does not bring the issuing CA's certificate",
            mend="take NAME.pem, which holds the whole chain; or ca.crt from the CA that signed it (--ca)",
            code=error.code,
        ) from None


def _prove_possession(key: PrivateKey, leaf: x509.Certificate) -> None:
    public_key = leaf.public_key()
    assert isinstance(public_key, PublicKey)  # it equals that of the key
    statement = b"keystead install: this key signs for its certificate"
    if not is_signed_by(public_key, sign(key, statement), statement):
        raise Distrusted(
            f"the private key does not sign for the certificate of {common_name(leaf)!r}",
            why="the key's file is damaged",
            mend="make a new key and CSR: keystead csr NAME",
            code="key-mismatch",
        )


def _new_anchor(folder: Folder, chain: VerifiedChain, wish: Wish) -> bytes | None:
    """The root to write; None where it is in place. A root is taken on sight once, never exchanged so."""
    root = chain.certificates[-1]
    fingerprint = Fingerprint.of_certificate(root)
    if wish.fingerprint is not None and not fingerprint.matches(wish.fingerprint):
        raise Distrusted(
            f"the root of {wish.source} is not the one that --fingerprint names",
            why=f"{common_name(root)!r} has the fingerprint {fingerprint}",
            mend="install nothing of it; ask the CA's operator what `keystead ca init` printed",
            code="unexpected-root",
        )
    there = read_anchors(folder.ca) if folder.ca.exists() else ()
    if root in there:
        check_anchors(folder, there, wish.source, chain.trust_domain)
        return None
    if there and wish.fingerprint is None:
        trusted = ", ".join(f"{owner(anchor)}, {Fingerprint.of_certificate(anchor)}" for anchor in there)
        raise Distrusted(
            f"another CA is trusted here than the one that issued {wish.source}",
            why=f"{folder.ca} holds {trusted}; and the new root is {owner(root)}, {fingerprint}",
            mend="keep each environment in a folder of its own (--dir DIR); or, if the CA's operator"
            f" confirms the new one: keystead install {shlex.quote(str(wish.source))}"
            f" --fingerprint {fingerprint}",
            code="other-root",
        )
    return to_pem(root)


def _pair_in_place(files: Files) -> Pair | None:
    try:
        return read_pair(files)
    except KeysteadError:
        return None


def _older(there: Pair | None, chain: VerifiedChain) -> tuple[str, ...]:
    if there is None or there.leaf.not_valid_after_utc <= chain.leaf.not_valid_after_utc:
        return ()
    lost = when(there.leaf.not_valid_after_utc)
    return (f"the certificate that it replaces was good until {lost}, longer than this one",)


def _strangers(folder: Folder, chain: VerifiedChain) -> list[str]:
    """Who in the folder is left without its CA, now that another one is trusted."""
    pairs = filter(None, map(_pair_in_place, folder.all()))
    identities = [(pair.files.name, identity_of(pair.leaf)) for pair in pairs]
    return [
        f"{name} belongs to {identity.trust_domain}, whose CA is not trusted here any more: move it away"
        for name, identity in identities
        if identity.trust_domain != chain.trust_domain
    ]
