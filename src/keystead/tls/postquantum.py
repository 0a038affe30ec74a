"""The client's side of mutual TLS where a certificate is post-quantum, which Python's `ssl` cannot read.

The same context and the same socket to whoever uses them (`tls.client`), over pyOpenSSL and the OpenSSL that
it brings along: the same anchors, lists, host name and demands, and the same errors. Not here: what is
demanded of a server beyond OpenSSL's verification, and what is said of a failure.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self, cast

from cryptography import x509
from OpenSSL import SSL, crypto
from OpenSSL.crypto import X509StoreFlags

from keystead.custody.files import MAX_KEY_FILE
from keystead.errors import BadInput, Distrusted, Unavailable
from keystead.machine.clock import Clock
from keystead.machine.files import read_bounded
from keystead.pki.keys import load_private_pem
from keystead.tls.client import ClientCredentials, MutualContext, sealed, stale_lists, unusable
from keystead.tls.contexts import GROUPS
from keystead.tls.hostname import expect_host
from keystead.tls.keys import use_key
from keystead.tls.openssl import has_output, restrict_groups

_RECORD: Final = 16 * 1024
_PIECE: Final = 64 * 1024


class PostQuantumContext(MutualContext):
    """A `MutualContext` whose connections are pyOpenSSL's; made by `post_quantum_context`."""

    engine: SSL.Context

    def chain_of(self, connection: Any) -> tuple[x509.Certificate, ...]:
        """The chain that OpenSSL verified, leaf first."""
        try:
            return tuple(
                cast(PostQuantumSocket, connection).tls.get_verified_chain(as_cryptography=True) or ()
            )
        except ValueError as error:
            raise Distrusted(
                "the server's certificate cannot be read", why=str(error), code="malformed"
            ) from None

    def wrap_socket(  # type: ignore[override]  # its callers use what every socket has
        self, sock: socket.socket, *, server_hostname: str, suppress_ragged_eofs: bool = False
    ) -> PostQuantumSocket:
        """Mutual TLS over ``sock``, verified and admitted; an end without close_notify is always an error."""
        finding = _Finding()
        connection = SSL.Connection(self.engine, None)
        connection.set_app_data(finding)
        connection.set_connect_state()
        wrapped = PostQuantumSocket(sock, connection)
        try:
            wrapped.do_handshake(server_hostname, finding)
            self.admit(wrapped)
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    def wrap_bio(self, *_: Any, **__: Any) -> ssl.SSLObject:
        """Nothing: asyncio asks for it, and gets Python's own TLS alone."""
        raise Unavailable(
            "a post-quantum certificate cannot be used from asyncio",
            why="Python's own TLS cannot read it",
            mend="use keystead.client() on a thread, or a certificate of another key: --key-type p256",
            code="post-quantum-asyncio",
        )


@dataclass(slots=True)
class _Finding:
    """What the verify callback leaves behind: OpenSSL's first finding."""

    errno: int = 0


class PostQuantumSocket(socket.socket):
    """A socket that speaks TLS: what is sent and received is plaintext, what fails is an `ssl.SSLError`."""

    def __init__(self, plain: socket.socket, tls: SSL.Connection) -> None:
        timeout = plain.gettimeout()
        super().__init__(plain.family, plain.type, plain.proto, plain.detach())
        self.settimeout(timeout)
        self.tls = tls
        self._unsent = bytearray()
        """Whole records, but for what the network has taken of the first."""
        self._failure: ssl.SSLError | None = None
        """What ended the connection: OpenSSL tells it once."""

    def do_handshake(self, host: str, finding: _Finding) -> None:
        """Shake hands with ``host``; raises `ssl.SSLCertVerificationError` for what ``finding`` then says."""
        try:
            expect_host(self.tls, host)
        except SSL.Error as error:
            raise _translated(error) from None
        while True:
            try:
                self.tls.do_handshake()
            except SSL.WantReadError:
                self._flush()
                self._feed()
            except SSL.Error as error:
                with suppress(OSError):
                    self._flush()  # the alert, by which the server learns why
                raise _unverified(finding) if finding.errno else _translated(error) from None
            else:
                self._flush()
                return

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Plaintext into ``buffer``, at most one record; 0 once the server has said that it ends."""
        room = min(nbytes or len(memoryview(buffer)), _RECORD)
        while True:
            if self._failure is not None:
                raise self._failure
            try:
                return self.tls.recv_into(buffer, room)
            except SSL.WantReadError:
                self._flush_without_waiting()
                self._feed()
            except SSL.ZeroReturnError:
                return 0
            except SSL.Error as error:
                self._failure = _translated(error)

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Plaintext, at most ``bufsize`` octets."""
        data = bytearray(min(bufsize, _RECORD))
        return bytes(data[: self.recv_into(data)])

    def pending(self) -> int:
        """Octets of plaintext that are there without the network; 1 also where an end or an error is."""
        try:
            self.tls.recv(1, socket.MSG_PEEK)
        except SSL.WantReadError:
            return 0
        except SSL.ZeroReturnError:
            return 1
        except SSL.Error as error:
            self._failure = self._failure or _translated(error)
            return 1
        return self.tls.pending()

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of ``data``. After an error nobody knows how much of it the server gets."""
        view = memoryview(data).cast("B")
        while view:
            view = view[self.send(view) :]
        self._flush()

    def send(self, data: Any, flags: int = 0) -> int:
        """Take some of ``data`` to be sent; how much. Who does not wait sends the rest of a record later."""
        self._flush()
        try:
            taken = self.tls.send(memoryview(data).cast("B")[:_PIECE])
        except SSL.Error as error:
            raise _translated(error) from None
        with suppress(BlockingIOError):
            self._flush()
        return taken

    def _none_of_tls(self, *_: Any, **__: Any) -> Any:
        """Nothing: it would pass TLS by, in plaintext."""
        raise NotImplementedError("a connection of TLS has recv, send and sendall")

    sendfile = sendto = sendmsg = recvfrom = recvfrom_into = recvmsg = recvmsg_into = dup = _none_of_tls

    def unwrap(self) -> Self:
        """Say that this is the end; the server's answer is not waited for."""
        try:
            self.tls.shutdown()
        except SSL.Error as error:
            raise _translated(error) from None
        self._flush()
        return self

    def _feed(self) -> None:
        data = super().recv(_PIECE)
        if not data:
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol")
        self.tls.bio_write(data)

    def _flush(self) -> None:
        """Send what TLS has to say; what the network does not take is kept for the next time."""
        with suppress(SSL.WantReadError):
            while has_output(self.tls):
                self._unsent += self.tls.bio_read(_PIECE)
        while self._unsent:
            del self._unsent[: super().send(self._unsent)]

    def _flush_without_waiting(self) -> None:
        """As `_flush`, for one who reads: a server may have answered, and read nothing more."""
        if not self._unsent and not has_output(self.tls):
            return
        timeout = self.gettimeout()
        self.settimeout(0)
        try:
            with suppress(BlockingIOError):
                self._flush()
        finally:
            self.settimeout(timeout)


def post_quantum_context(credentials: ClientCredentials, clock: Clock) -> PostQuantumContext:
    """As `tls.client.client_context`, for ``credentials`` that Python's `ssl` cannot read."""
    context = PostQuantumContext(ssl.PROTOCOL_TLS_CLIENT)
    context.credentials = credentials
    context.clock = clock
    context.engine = _engine(credentials, clock)
    return context


def _engine(credentials: ClientCredentials, clock: Clock) -> SSL.Context:
    engine = SSL.Context(SSL.TLS_CLIENT_METHOD)
    engine.set_min_proto_version(SSL.TLS1_3_VERSION)
    restrict_groups(engine, GROUPS)
    _trust(engine, credentials, clock)
    _present(engine, credentials)
    engine.set_verify(SSL.VERIFY_PEER, _note)
    return engine


def _trust(engine: SSL.Context, credentials: ClientCredentials, clock: Clock) -> None:
    store = engine.get_cert_store()
    assert store is not None
    for anchor in credentials.anchors:
        store.add_cert(crypto.X509.from_cryptography(anchor))
    if credentials.crls is not None and not stale_lists(credentials, clock):
        # OpenSSL knows no grace: of a stale list `admit` alone decides.
        try:
            for crl in credentials.crls:
                store.add_crl(crl)
        except crypto.Error:
            raise BadInput(
                f"{credentials.crl_path} holds a revocation list that OpenSSL cannot read",
                why="it is damaged, or no CA's",
                mend="take crl.pem from the CA again: keystead ca crl --out crl.pem   (there)",
                code="bad-crl",
            ) from None
        store.set_flags(X509StoreFlags.CRL_CHECK | X509StoreFlags.CRL_CHECK_ALL)


def _present(engine: SSL.Context, credentials: ClientCredentials) -> None:
    leaf, *above = credentials.chain
    pem = read_bounded(credentials.key_path, MAX_KEY_FILE)
    if b"ENCRYPTED PRIVATE KEY" in pem:
        raise sealed()
    key = load_private_pem(pem, str(credentials.key_path))
    try:
        engine.use_certificate(leaf)
        for issuer in above:
            engine.add_extra_chain_cert(issuer)
        use_key(engine, key)
    except SSL.Error as error:
        raise unusable(credentials, _said(error)) from None


def _note(connection: SSL.Connection, _: crypto.X509, errno: int, __: int, ok: int) -> bool:
    """What OpenSSL asks for each certificate: True would accept, so it is OpenSSL's own answer."""
    finding = connection.get_app_data()
    if not ok and isinstance(finding, _Finding) and not finding.errno:
        finding.errno = errno
    return bool(ok)


def _unverified(finding: _Finding) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, "certificate verify failed")
    error.verify_code = finding.errno
    error.verify_message = f"verification error {finding.errno}"
    return error


def _translated(error: SSL.Error) -> ssl.SSLError:
    """pyOpenSSL's error as Python's `ssl` would raise it: OpenSSL's reason in capitals, and as text."""
    text = _said(error)
    made = ssl.SSLError(ssl.SSL_ERROR_SSL, text)
    made.reason = text.upper().replace(" ", "_")
    return made


def _said(error: Exception) -> str:
    """OpenSSL's last word."""
    reasons = error.args[0] if error.args else []
    return str(reasons[-1][-1]) if isinstance(reasons, list) and reasons else str(error)
