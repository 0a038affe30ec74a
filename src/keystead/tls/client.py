"""The client's side of mutual TLS, over Python's `ssl`: whom it trusts, what it checks before it speaks.

Only the folder's anchors count: no store of the system, no environment variable and no proxy has a say.
Beyond OpenSSL's verification a server must be of one's own trust domain, certified as a server, and not
revoked; that is checked within the handshake, so that no request's first octet is sent to another one.
What Python's `ssl` cannot read is `tls.postquantum`'s. Not here: what is said of a failure (`tls.failures`),
and where the material lies (`subscriber.folder`).
"""

from __future__ import annotations

import shlex
import ssl
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any, Final, cast

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from keystead.errors import BadInput, Distrusted, Unavailable
from keystead.machine.clock import Clock
from keystead.machine.oserrors import told
from keystead.pki.certificates import common_name, extended_key_usages, to_pem
from keystead.pki.chains import VerifiedChain, verify
from keystead.pki.expiry import when
from keystead.pki.keys import is_experimental
from keystead.pki.names import Identity
from keystead.pki.revocation import next_update
from keystead.pki.verdicts import FOREIGN_DOMAIN, WRONG_PURPOSE

TELL: Final = "tell whoever runs the server; nothing was sent to it"
"""What is left to do where a server is at fault."""

_DER: Final = 2
"""``_ssl.ENCODING_DER``, which Python before 3.13 gives chains by."""


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """As whom one calls, and whom one trusts. The paths name what is told about in errors.

    ``chain`` is one's own, leaf first. ``crls`` is None where the folder has no lists: the server's
    revocation is then not checked, which the caller must say out loud.
    """

    identity: Identity
    certificate_path: Path
    key_path: Path
    ca_path: Path
    crl_path: Path
    chain: tuple[x509.Certificate, ...]
    anchors: tuple[x509.Certificate, ...]
    crls: tuple[x509.CertificateRevocationList, ...] | None

    @property
    def leaf(self) -> x509.Certificate:
        """One's own certificate."""
        return self.chain[0]

    @property
    def authorities(self) -> tuple[x509.Certificate, ...]:
        """The CAs known here, whose lists can be checked before they are used."""
        return (*self.anchors, *self.chain[1:])


class MutualContext(ssl.SSLContext):
    """TLS 1.3 with one's own certificate, to servers of one's own trust domain; made by `client_context`."""

    credentials: ClientCredentials
    clock: Clock

    def admit(self, connection: Any) -> VerifiedChain:
        """The server's chain, of a finished handshake. Raises `Distrusted` where it is none to speak to."""
        own = self.credentials
        leaf, *above = self.chain_of(connection)
        try:
            found = verify(leaf, above, own.anchors, now=self.clock(), crls=own.crls)
        except Distrusted as error:
            raise _of_server(error) from None
        if found.trust_domain != own.identity.trust_domain:
            raise Distrusted(
                f"the server {found.identity} belongs to another environment",
                why=f"its trust domain is {found.trust_domain}, and that of {own.certificate_path} is"
                f" {own.identity.trust_domain}",
                mend="use the folder of that environment (--dir DIR), or your own environment's server",
                code=FOREIGN_DOMAIN.code,
            )
        if ExtendedKeyUsageOID.SERVER_AUTH not in extended_key_usages(leaf):
            raise Distrusted(
                f"{found.identity} is not certified as a server",
                why=f"the certificate of {common_name(leaf)!r} was issued for another purpose",
                mend=TELL,
                code=WRONG_PURPOSE.code,
            )
        return found

    def chain_of(self, connection: Any) -> tuple[x509.Certificate, ...]:
        """The chain that OpenSSL verified, leaf first; before Python 3.13 by a private name."""
        public = getattr(connection, "get_verified_chain", None)
        if public is not None:
            ders = public()
        else:
            ders = [found.public_bytes(_DER) for found in connection._sslobj.get_verified_chain()]
        try:
            return tuple(x509.load_der_x509_certificate(der) for der in ders)
        except ValueError as error:
            raise Distrusted(
                "the server's certificate cannot be read", why=str(error), code="malformed"
            ) from None


def _of_server(error: Distrusted) -> Distrusted:
    """``error``, which speaks of any certificate, as told to a client about a server."""
    mend = error.mend if error.code.startswith("crl") else TELL
    return Distrusted(f"the server is not trusted: {error.what}", why=error.why, mend=mend, code=error.code)


class _MutualSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        _admit_or_close(self)


class _MutualObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        super().do_handshake()
        cast(MutualContext, self.context).admit(self)


def _admit_or_close(connection: ssl.SSLSocket) -> None:
    try:
        cast(MutualContext, connection.context).admit(connection)
    except BaseException:
        connection.close()  # `ssl` itself closes after its own errors only
        raise


def client_context(credentials: ClientCredentials, clock: Clock) -> MutualContext:
    """The context for mutual TLS as ``credentials`` (RFC 8446), also to be handed to other libraries.

    Raises `KeysteadError` where certificate and key cannot be loaded.
    """
    if any(is_experimental(known.public_key()) for known in (*credentials.chain, *credentials.anchors)):
        from keystead.tls.postquantum import post_quantum_context  # noqa: PLC0415  it stands on this module

        return post_quantum_context(credentials, clock)
    context = MutualContext(ssl.PROTOCOL_TLS_CLIENT)  # demands a chain and checks the host name
    context.credentials = credentials
    context.clock = clock
    context.sslsocket_class = _MutualSocket
    context.sslobject_class = _MutualObject
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Python 3.11.2, Debian 12's, takes an end without close_notify for a proper one unless told otherwise.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.hostname_checks_common_name = False  # RFC 9525, section 6.3
    context.load_verify_locations(cadata=to_pem(*credentials.anchors).decode("ascii"))
    _present(context, credentials)
    if credentials.crls is not None and not stale_lists(credentials, clock):
        # OpenSSL knows no grace: of a stale list `admit` alone decides.
        with told(credentials.crl_path, "read"):
            context.load_verify_locations(cafile=credentials.crl_path)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN
    return context


def connect(context: MutualContext, plain: socket, host: str) -> ssl.SSLSocket:
    """Mutual TLS over the connected ``plain``, to the server that is called ``host`` there.

    Raises `ssl.SSLError`, `OSError` or `Distrusted`; ``plain`` is then closed.
    """
    try:
        return context.wrap_socket(plain, server_hostname=host, suppress_ragged_eofs=False)
    except BaseException:
        plain.close()
        raise


def crl_warnings(credentials: ClientCredentials, clock: Clock) -> tuple[str, ...]:
    """What must be said of the folder's revocation lists at every run; nothing where all is well."""
    if credentials.crls is None:
        return (
            f"there is no {credentials.crl_path}: a revoked server would not be noticed"
            "   (keystead ca crl --out crl.pem, on the CA's machine)",
        )
    return tuple(
        f"{credentials.crl_path} is out of date since {when(next_update(crl))} and will soon be refused"
        "   (keystead ca crl --out crl.pem, on the CA's machine)"
        for crl in stale_lists(credentials, clock)
    )


def stale_lists(credentials: ClientCredentials, clock: Clock) -> tuple[x509.CertificateRevocationList, ...]:
    """Those of the folder's lists whose successor was due."""
    now = clock()
    return tuple(crl for crl in credentials.crls or () if next_update(crl) <= now)


def _present(context: ssl.SSLContext, credentials: ClientCredentials) -> None:
    try:
        context.load_cert_chain(credentials.certificate_path, credentials.key_path, _no_passphrase)
    except ssl.SSLError as error:
        raise unusable(credentials, error.reason or str(error)) from None
    except OSError as error:
        with told(credentials.key_path, "read"):
            raise error


def unusable(credentials: ClientCredentials, said: str) -> BadInput:
    """Key and certificate that OpenSSL does not take, with what it ``said``."""
    return BadInput(
        f"{credentials.certificate_path} and {credentials.key_path} cannot be used",
        why=f"OpenSSL says: {said}",
        mend=f"look at them: keystead show {shlex.quote(str(credentials.certificate_path))}",
        code="bad-certificate",
    )


def _no_passphrase() -> str:
    raise sealed()


def sealed() -> Unavailable:
    """A key that would have to be asked for."""
    return Unavailable(
        "the key is sealed with a passphrase",
        why="a subscriber's key is read without one",
        mend="make a new key and CSR: keystead csr NAME",
    )
