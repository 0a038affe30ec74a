"""A client's visit to one server: opened by asking who one is there, and by taking its newer CRLs.

The first request is a small one on purpose: whoever is refused is told so before a large file is on its way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

from keystead.errors import BadInput, KeysteadError, NotThere, Unavailable
from keystead.machine.clock import Clock
from keystead.machine.files import PUBLIC, read_bounded, write_atomic
from keystead.pki.revocation import MAX_CRL_OCTETS, load_crls
from keystead.subscriber.fileclient.address import ServerAddress, remember
from keystead.subscriber.fileclient.connection import Connection
from keystead.subscriber.folder import open_folder, read_crls
from keystead.subscriber.roles import Role
from keystead.tls.client import ClientCredentials, client_context, crl_warnings
from keystead.tls.crls import NO_CRLS, CrlSet, advance
from keystead.tls.probe import probe
from keystead.wire.files import etag_of
from keystead.wire.whoami import PATH as WHOAMI
from keystead.wire.whoami import Caller

_CRL: Final = "/crl.pem"

Remark = Callable[[str], None]
"""Is told what a person should know, a sentence at a time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """An open door: whom the server sees, and a connection to begin with."""

    address: ServerAddress
    caller: Caller
    first: Connection
    clock: Clock

    def connect(self) -> Connection:
        """One more connection."""
        return Connection(self.address, self.first.context, self.clock)


def credentials_of(folder: Path, name: str | None) -> ClientCredentials:
    """The client's credentials in ``folder``; raises `KeysteadError` where there are none."""
    material = open_folder(folder, Role.CLIENT, name)
    return ClientCredentials(
        identity=material.identity,
        certificate_path=material.certificate_path,
        key_path=material.key_path,
        ca_path=material.ca_path,
        crl_path=material.crl_path,
        chain=material.chain,
        anchors=material.anchors,
        crls=read_crls(material.crl_path),
    )


def open_session(
    credentials: ClientCredentials, address: ServerAddress, clock: Clock, remark: Remark
) -> Session:
    """Knock at ``address``; raises `KeysteadError`, with the server's reason where it refuses.

    A newer revocation list that the server hands out is put into the folder and holds at once, also for
    this server; the address is remembered there.
    """
    connection = Connection(address, client_context(credentials, clock), clock)
    try:
        caller = _ask_who(connection)
        newer = _newer_crls(connection, credentials, clock, remark)
        if newer is not None:
            write_atomic(credentials.crl_path, newer.pem(), PUBLIC)
            remark(f"{credentials.crl_path} is renewed: the server had a newer revocation list")
            credentials = dataclasses.replace(credentials, crls=newer.crls)
            connection.context = client_context(credentials, clock)
            connection.server_chain()
    except BaseException:
        connection.close()
        raise
    for warning in crl_warnings(credentials, clock):
        remark(warning)
    remember(address, credentials.certificate_path.parent)
    return Session(address, caller, connection, clock)


def _ask_who(connection: Connection) -> Caller:
    try:
        return Caller.parse(connection.ask("GET", WHOAMI).body)
    except (BadInput, Unavailable) as error:
        if error.code not in {"bad-answer", "no-answer"} and not error.code.startswith("http-"):
            raise
        connection.close()
        raise _no_keystead(connection.address, error) from None


def _no_keystead(address: ServerAddress, error: KeysteadError) -> KeysteadError:
    try:
        asks = probe(address.host, address.port).asks_for_certificate
    except KeysteadError:
        return error
    if asks:
        return _no_files(address) if error.code == "http-404" else error
    return Unavailable(
        f"the server {address.authority} does not speak mutual TLS",
        why="it did not ask for a client certificate, so that it cannot know who sends",
        mend="check the address (--to URL); or set the server up to demand one, as keystead serve does",
        code="no-mutual-tls",
    )


def _no_files(address: ServerAddress) -> KeysteadError:
    return Unavailable(
        f"the server {address.authority} keeps no files",
        why=f"it speaks mutual TLS and has no {WHOAMI}: an application of its own stands behind it"
        " (keystead serve APP)",
        mend="name a file server (--to URL); or call the application with keystead.client() or curl",
        code="no-file-server",
    )


def _newer_crls(
    connection: Connection, own: ClientCredentials, clock: Clock, remark: Remark
) -> CrlSet | None:
    """The folder's lists with the server's newer ones among them; None where it has none.

    They are signed, so that it does not matter who hands them out; what is not signed by a CA of a verified
    chain, or has a lower number than the folder's, is not taken.
    """
    try:
        known = etag_of(sha256(read_bounded(own.crl_path, MAX_CRL_OCTETS)).digest())
    except NotThere:
        known = '""'
    try:
        answer = connection.ask("GET", _CRL, (("If-None-Match", known),), limit=MAX_CRL_OCTETS)
        if answer.head.status != 200:
            return None
        theirs = load_crls(answer.body, f"{connection.address.url}{_CRL}")
    except KeysteadError as error:
        remark(f"no newer revocation list from the server: {error.what}")
        return None
    now, authorities = clock(), (*own.authorities, *connection.server_chain()[1:])
    ours = advance(NO_CRLS, own.crls or (), authorities=authorities, floors={}, now=now).crls
    taken = advance(ours, theirs, authorities=authorities, floors={}, now=now).crls
    if taken.numbers() == ours.numbers():
        return None
    return CrlSet({**ours.lists, **{key: entry for key, entry in taken.lists.items() if entry.verified}})
