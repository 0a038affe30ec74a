"""The file server's app: which request does what with the caller's files. `make_app` is what a door serves.

Not here: the door itself (`web`), which lets nobody in whose certificate is not trusted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from keystead.errors import KeysteadError
from keystead.subscriber.fileserver.answers import (
    CLIENT_GONE,
    FileAnswer,
    as_json,
    on_disk_error,
    on_error,
    on_http_error,
    on_mistake,
    problem,
)
from keystead.subscriber.fileserver.conditions import Conditions, parse_range
from keystead.subscriber.fileserver.limits import Ledger, UploadLimits
from keystead.subscriber.fileserver.receiving import (
    announced_length,
    check_headers,
    receive_into,
    receiving,
    wanted_digests,
)
from keystead.subscriber.fileserver.shelf import OpenFile, Shelf, Store
from keystead.subscriber.fileserver.sweeping import sweeping
from keystead.subscriber.fileserver.tus import METHODS, Tus
from keystead.tls.peer import crls_of, peer_of
from keystead.wire.files import PATH, Receipt, digest_field, etag_of, list_to_json, parse_file_name, target_of
from keystead.wire.problems import Problem
from keystead.wire.tus import PATH as TUS
from keystead.wire.whoami import PATH as WHOAMI
from keystead.wire.whoami import Caller

_PREFIX = PATH.encode("ascii")


def make_app(store: Store, limits: UploadLimits | None = None) -> Starlette:
    """The ASGI app over ``store``, to be served by keystead's door: each request's scope has its peer."""
    ledger = Ledger(limits or UploadLimits())
    files, tus = Files(store, ledger), Tus(store, ledger)
    app = Starlette(
        lifespan=lambda _: sweeping(store.root, ledger.limits.expiry),
        routes=[
            Route(PATH, files.index, methods=["GET"]),
            Route(PATH + "{segment:path}", files.one, methods=list(files.verbs)),
            Route(TUS, tus.all, methods=METHODS),
            Route(TUS + "{segment:path}", tus.one, methods=METHODS),
            Route(WHOAMI, whoami, methods=["GET"]),
            Route("/crl.pem", crl, methods=["GET"]),
        ],
        exception_handlers={
            KeysteadError: on_error,
            HTTPException: on_http_error,
            OSError: on_disk_error,
            Exception: on_mistake,
        },
    )
    app.router.redirect_slashes = False  # a redirect is no answer to an upload
    return app


class Files:
    """The caller's files; nobody sees another's."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self._listing = asyncio.Semaphore(1)  # long lists, asked for side by side, left no thread for files
        self.verbs: Mapping[str, Callable[[Shelf, str, Request], Awaitable[Response]]] = {
            "GET": self._read,
            "HEAD": self._read,
            "PUT": self._take,
            "DELETE": self._delete,
        }

    async def index(self, request: Request) -> Response:
        """All files of the caller."""
        async with self._listing:
            if await request.is_disconnected():
                return CLIENT_GONE
            body = await asyncio.to_thread(lambda: list_to_json(self._shelf(request).entries()))
        return as_json(body, headers={"cache-control": "private, no-store"})

    async def one(self, request: Request) -> Response:
        """One file: the method says what is done with it."""
        return await self.verbs[request.method](self._shelf(request), _name(request), request)

    async def _read(self, shelf: Shelf, name: str, request: Request) -> Response:
        file = shelf.open_at_once(name)
        if file is None:
            file = await asyncio.to_thread(shelf.open, name)
        try:
            return _answer(file, request)
        except KeysteadError:
            file.close()
            raise

    async def _take(self, shelf: Shelf, name: str, request: Request) -> Response:
        check_headers(request.headers)
        # Without an encoding both are of the same octets.
        wanted = wanted_digests(request.headers, "repr-digest", "content-digest")
        conditions = Conditions.of(request.headers)
        with self._ledger.admission(shelf.folder) as admission:
            await asyncio.to_thread(shelf.prepare)
            await asyncio.to_thread(admission.expect, announced_length(request.headers))
            await asyncio.to_thread(shelf.check_change, name, conditions)
            async with receiving(shelf.folder) as file:
                try:
                    await receive_into(file, request.stream(), admission)
                except ClientDisconnect:
                    return CLIENT_GONE
                for digest in wanted:
                    file.check(digest)
                is_new = await asyncio.to_thread(shelf.keep, file, name, conditions)
        return _receipt(Receipt(name, file.size, file.digest()), is_new=is_new)

    async def _delete(self, shelf: Shelf, name: str, request: Request) -> Response:
        await asyncio.to_thread(shelf.delete, name, Conditions.of(request.headers))
        return Response(status_code=204)

    def _shelf(self, request: Request) -> Shelf:
        return self._store.shelf(peer_of(request.scope).identity)


async def whoami(request: Request) -> Response:
    """Who the caller is."""
    peer = peer_of(request.scope)
    return as_json(Caller(peer.identity, peer.serial, peer.not_after).to_json())


async def crl(request: Request) -> Response:
    """The revocation lists in force here, which are signed: any carrier will do."""
    lists = crls_of(request.scope)
    etag = etag_of(sha256(lists).digest())
    headers = {"etag": etag, "cache-control": "no-cache", "x-content-type-options": "nosniff"}
    if Conditions.of(request.headers).is_known(etag):
        return Response(None, 304, headers)
    return Response(lists, 200, headers, "application/x-pem-file")


def _name(request: Request) -> str:
    """The file that the target names; the undecoded one, for decoding twice would let ``%252F`` through."""
    raw: bytes = request.scope["raw_path"]
    if not raw.startswith(_PREFIX):
        raise HTTPException(404)
    return parse_file_name(raw.removeprefix(_PREFIX))


def _answer(file: OpenFile, request: Request) -> Response:
    conditions = Conditions.of(request.headers)
    conditions.check_match(file.etag)
    if conditions.is_known(file.etag):
        file.close()
        return Response(None, 304, {"etag": file.etag, "cache-control": "private, no-cache"})
    if request.method != "GET" or not conditions.takes_range(file.etag):  # RFC 9110, section 14.2
        return FileAnswer(file, None)
    try:
        span = parse_range(request.headers.get("range"), file.entry.size)
    except KeysteadError as error:
        file.close()
        return problem(Problem.from_error(error, 416), {"content-range": f"bytes */{file.entry.size}"})
    return FileAnswer(file, span)


def _receipt(receipt: Receipt, *, is_new: bool) -> Response:
    headers = {
        "etag": etag_of(receipt.sha256),
        "repr-digest": digest_field(receipt.sha256),
        "location": target_of(receipt.name),
    }
    return as_json(receipt.to_json(), 201 if is_new else 200, headers)
