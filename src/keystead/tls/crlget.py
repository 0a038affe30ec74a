"""One conditional GET of revocation lists, in which the server at the other end is trusted with nothing.

Time, octets and pieces are bounded, no redirect is followed, nothing is unpacked, and no proxy of the
environment is used. Over https the certificate is verified always. Not here: what the lists say
(`tls.crlfetch`).
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import h11
from cryptography import x509

from keystead.errors import KeysteadError, Unavailable
from keystead.pki.certificates import to_pem
from keystead.pki.revocation import MAX_CRL_OCTETS
from keystead.tls.crlurl import CrlUrl

_HEAD_OCTETS: Final = 32 * 1024
_READ_OCTETS: Final = 16 * 1024
_PIECES: Final = 1000
_OCTETS_A_PIECE: Final = 256
"""At least, on the average, beyond the first thousand pieces: each costs the loop some microseconds."""

_PIECES_A_TURN: Final = 100
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Validators:
    """By what a server tells that nothing has changed (RFC 9110, section 8.8); empty where it gave none."""

    etag: bytes = b""
    modified: bytes = b""

    def fields(self) -> list[tuple[bytes, bytes]]:
        """The conditions of the next request."""
        both = ((b"If-None-Match", self.etag), (b"If-Modified-Since", self.modified))
        return [(name, value) for name, value in both if value]


NO_VALIDATORS: Final = Validators()


@dataclass(frozen=True, slots=True)
class Answer:
    """The body, or None where nothing has changed; and what to ask with the next time."""

    body: bytes | None
    validators: Validators


def trusting(anchors: Iterable[x509.Certificate]) -> ssl.SSLContext:
    """Verifies an https server by the system's trust store or by ``anchors``, and its host name always."""
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=to_pem(*anchors).decode("ascii"))
    return context


async def get(
    url: CrlUrl, validators: Validators, *, context: ssl.SSLContext | None, seconds: float
) -> Answer:
    """Ask ``url`` once, within ``seconds`` for all of it; raises `Unavailable`, saying why.

    ``context`` is for https, None for http.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _get(url, validators, context)
    except TimeoutError:
        raise unreachable(url, f"it did not answer whole within {seconds:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise unreachable(
            url,
            f"its certificate is not trusted: {error.verify_message}",
            "trusted are the system's CAs and the folder's ca.crt; plain http will do: lists are signed",
        ) from None
    except ssl.SSLError as error:
        raise unreachable(url, f"TLS failed: {error.reason or error}") from None
    except OSError as error:
        raise unreachable(url, _in_words(error)) from None
    except h11.RemoteProtocolError as error:
        raise unreachable(url, f"it does not speak HTTP as one should: {error}") from None


def unreachable(url: CrlUrl, why: str, mend: str = "") -> KeysteadError:
    """The error of a URL that gave nothing."""
    return Unavailable(
        f"no revocation list came from {url.text}",
        why=why,
        mend=mend or f"see what it says: curl -v -o /dev/null {url.text}",
        code="crl-unreachable",
    )


def _in_words(error: OSError) -> str:
    """Without asyncio's own words about it; the numbers of the resolver are below zero."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or str(error)


async def _get(url: CrlUrl, validators: Validators, context: ssl.SSLContext | None) -> Answer:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_OCTETS)
    request = h11.Request(
        method="GET",
        target=url.target,
        headers=[
            (b"Host", url.authority.encode("ascii")),
            (b"User-Agent", b"keystead"),
            (b"Accept", b"*/*"),
            (b"Accept-Encoding", b"identity"),
            (b"Connection", b"close"),
            *validators.fields(),
        ],
    )
    reader, writer = await asyncio.open_connection(url.host, url.port, ssl=context)
    try:
        writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
        return await _Reading(url, connection, reader).answer(asked=bool(validators.fields()))
    finally:
        writer.transport.abort()  # which waits for nobody


class _Reading:
    """The answer, as it comes."""

    def __init__(self, url: CrlUrl, connection: h11.Connection, reader: asyncio.StreamReader) -> None:
        self._url = url
        self._connection = connection
        self._reader = reader
        self._pieces = 0
        self._octets = 0

    async def answer(self, *, asked: bool) -> Answer:
        """The whole of it; a 304 is one only where we ``asked`` with a condition."""
        head = await self._event()
        while isinstance(head, h11.InformationalResponse):
            head = await self._event()
        assert isinstance(head, h11.Response)
        fields = dict(head.headers)
        if head.status_code == 304 and asked:
            return Answer(None, NO_VALIDATORS)
        self._check(head.status_code, fields)
        validators = Validators(fields.get(b"etag", b""), fields.get(b"last-modified", b""))
        return Answer(await self._body(), validators)

    def _check(self, status: int, fields: dict[bytes, bytes]) -> None:
        if 300 <= status < 400 and b"location" in fields:
            shown = fields[b"location"][:_SHOWN].decode("ascii", "backslashreplace")
            raise unreachable(
                self._url,
                f"it redirects to {shown!r} ({status}), and no redirect is followed",
                "if that is where the lists are now, name it: --crl URL",
            )
        if status != 200:
            raise unreachable(self._url, f"it answers {status}")
        coding = fields.get(b"content-encoding", b"identity")
        if coding.lower() != b"identity":
            shown = coding[:_SHOWN].decode("ascii", "backslashreplace")
            raise unreachable(self._url, f"it sends it as {shown!r} unasked, and nothing is unpacked here")
        if int(fields.get(b"content-length", b"0")) > MAX_CRL_OCTETS:
            raise self._too_large()

    async def _body(self) -> bytes:
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > MAX_CRL_OCTETS:
                raise self._too_large()
        return bytes(body)

    async def _event(self) -> h11.Event:
        self._pieces += 1
        if self._pieces > _PIECES + self._octets // _OCTETS_A_PIECE:
            raise unreachable(self._url, "it comes in too many small pieces")
        if self._pieces % _PIECES_A_TURN == 0:
            await asyncio.sleep(0)  # the loop has others to see to
        while True:
            event = self._connection.next_event()
            if isinstance(event, h11.Event):
                return event
            data = await self._reader.read(_READ_OCTETS)
            self._octets += len(data)
            if not self._octets:
                raise unreachable(self._url, "it ended the connection without an answer")
            self._connection.receive_data(data)

    def _too_large(self) -> KeysteadError:
        return unreachable(self._url, f"it is larger than the {MAX_CRL_OCTETS:,} octets that are read")
