"""What a TLS server shows and whom it lets in, as one frozen value, and the OpenSSL context made of it.

Not here: where the material lies and when it changes (`tls.reloading`), and what a CRL says (`tls.crls`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from OpenSSL.crypto import X509StoreFlags

from keystead.errors import BadInput
from keystead.pki.certificates import load_certificates, subject_key_id
from keystead.pki.expiry import CRL_GRACE
from keystead.pki.keys import load_private_pem
from keystead.pki.names import TrustDomain
from keystead.tls.crls import CrlSet
from keystead.tls.judge import GOOD, Judge
from keystead.tls.keys import use_key
from keystead.tls.openssl import Finding, can_judge, judge_findings, restrict_groups
from keystead.tls.refused import note_down, verify_callback
from keystead.tls.suites import TLS_1_2

GROUPS = ("X25519MLKEM768", "X25519", "P-256")
"""Key exchange, best first; the hybrid holds against a later quantum computer (FIPS 203)."""

VERIFY_DEPTH = 2
"""CAs above a leaf: the issuing CA and the root."""


@dataclass(frozen=True, slots=True)
class ServerCredentials:
    """A server's own certificate and key, and the anchors under which it lets clients in.

    ``chain`` is PEM, the leaf first, then its issuing CA; ``key`` is unencrypted PKCS#8 PEM and appears in
    no representation. ``trust_domain`` is the server's own: peers of another get a 403. ``tls_1_2`` lets in
    clients that speak no TLS 1.3, too.
    """

    chain: bytes
    key: bytes = field(repr=False)
    anchors: tuple[x509.Certificate, ...]
    trust_domain: TrustDomain
    tls_1_2: bool = False

    def certificates(self) -> tuple[x509.Certificate, ...]:
        """The chain, parsed; raises `BadInput`."""
        return load_certificates(self.chain, "the server's certificate")

    def authorities(self) -> tuple[x509.Certificate, ...]:
        """The CAs known here, whose CRLs can be checked before they are used; raises `BadInput`."""
        return (*self.anchors, *self.certificates()[1:])


@dataclass(frozen=True, slots=True, eq=False)
class InForce:
    """What is in force for a connection: credentials, CRLs, and the context made of both.

    Compared by identity, for each swap makes a new one. ``server_pem`` (the leaf) and ``crls_pem`` are for
    the ASGI scope.
    """

    credentials: ServerCredentials
    crls: CrlSet
    grace: timedelta
    context: SSL.Context
    server_pem: str
    crls_pem: bytes

    @classmethod
    def of(cls, credentials: ServerCredentials, crls: CrlSet, *, grace: timedelta = CRL_GRACE) -> InForce:
        """Build the context; raises `BadInput` where certificate and key do not fit together."""
        leaf = credentials.certificates()[0]
        context = server_context(credentials, crls, grace=grace)
        server_pem = leaf.public_bytes(Encoding.PEM).decode("ascii")
        return cls(credentials, crls, grace, context, server_pem, crls.pem())


class Holder:
    """The one place that says what is in force now; a swap is one assignment.

    The transport asks once per accepted connection, so that running connections keep their context.
    """

    __slots__ = ("current",)

    def __init__(self, current: InForce) -> None:
        self.current = current


def server_context(
    credentials: ServerCredentials, crls: CrlSet, *, grace: timedelta = CRL_GRACE
) -> SSL.Context:
    """A context for TLS 1.3 (RFC 8446) that demands a client certificate and resumes nothing.

    On request for TLS 1.2 too, within what RFC 9325 recommends, and without renegotiation.

    The revocation of the whole chain is always checked: without a CRL of each issuer nobody gets in. A list
    past its nextUpdate is used for ``grace`` more. Lists whose signature was verified here are looked into by
    `tls.judge`, where pyOpenSSL has what that needs, the others by OpenSSL. Raises `BadInput` where the
    material does not fit.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION if credentials.tls_1_2 else SSL.TLS1_3_VERSION)
    context.set_cipher_list(":".join(TLS_1_2).encode("ascii"))  # TLS 1.3 has its own list
    restrict_groups(context, GROUPS)
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    _show(context, credentials)
    _trust(context, credentials.anchors)
    # The list of a CA that only a client's chain brings: its age is looked at by `tls.standing`.
    usable_until = crls.usable_until(map(subject_key_id, credentials.authorities()), grace)
    if can_judge():
        _give_lists(context, (entry.crl for entry in crls.lists.values() if not entry.verified))
        judge = Judge(crls, grace=grace, usable_until=usable_until, clock=time.time)
        judge_findings(context, _MODE, partial(_decide, judge))
    else:
        _give_lists(context, crls.crls)
        context.set_verify(_MODE, verify_callback(usable_until, time.time))
    context.set_verify_depth(VERIFY_DEPTH)
    return context


_MODE = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT


def _decide(judge: Judge, connection: SSL.Connection, finding: Finding) -> int:
    verdict = judge.verdict(finding.errno, finding.depth, finding.chain)
    if verdict != GOOD:
        note_down(connection, verdict, finding.depth, finding.certificate())
    return verdict


def _show(context: SSL.Context, credentials: ServerCredentials) -> None:
    leaf, *issuers = credentials.certificates()
    context.use_certificate(leaf)
    for issuer in issuers:
        context.add_extra_chain_cert(issuer)
    key = load_private_pem(credentials.key, "the server's key")
    try:
        use_key(context, key)
    except SSL.Error:
        raise BadInput(
            "the server's key and certificate do not fit together",
            why="the certificate was issued for another key",
            mend="install the certificate that was issued for this key: keystead install NAME.crt",
            code="key-mismatch",
        ) from None


def _trust(context: SSL.Context, anchors: tuple[x509.Certificate, ...]) -> None:
    store = _store_of(context)
    for anchor in anchors:
        store.add_cert(crypto.X509.from_cryptography(anchor))
        context.add_client_ca(anchor)


def _give_lists(context: SSL.Context, crls: Iterable[x509.CertificateRevocationList]) -> None:
    """Whatever is given: who is under a CA without a list is refused, unless the `Judge` has one."""
    store = _store_of(context)
    for crl in crls:
        store.add_crl(crl)
    store.set_flags(X509StoreFlags.CRL_CHECK | X509StoreFlags.CRL_CHECK_ALL)


def _store_of(context: SSL.Context) -> crypto.X509Store:
    store = context.get_cert_store()
    assert store is not None
    return store
