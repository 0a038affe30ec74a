"""tus 1.0 (https://tus.io/protocols/resumable-upload) at ``/tus/``: uploads that are gone on with.

Core, creation, creation-with-upload, checksum, expiration and termination. What has come whole is one of the
caller's files, as if it had been PUT. Not here: where uploads lie and who may change them (`resumable`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from keystead.errors import KeysteadError
from keystead.subscriber.fileserver.answers import (
    CLIENT_GONE,
    as_json,
    on_disk_error,
    on_error,
    on_http_error,
)
from keystead.subscriber.fileserver.conditions import Conditions
from keystead.subscriber.fileserver.limits import Ledger
from keystead.subscriber.fileserver.receiving import receive_into
from keystead.subscriber.fileserver.resumable import Held, Uploads
from keystead.subscriber.fileserver.shelf import Shelf, Store
from keystead.subscriber.fileserver.states import Found, State
from keystead.subscriber.fileserver.tusrequests import (
    Checks,
    beyond,
    body_of,
    busy,
    check_version,
    checks_of,
    elsewhere,
    id_of,
    method_of,
    state_of,
)
from keystead.tls.peer import peer_of
from keystead.wire.files import digest_field, etag_of
from keystead.wire.files import target_of as target_of_file
from keystead.wire.tus import (
    ALGORITHMS,
    EXTENSIONS,
    VERSION,
    expires_field,
    list_to_json,
    parse_octets,
    target_of,
)

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What comes here; which of them is done where, `Tus` says."""

_BUSY_SECONDS: Final = 3.0
"""How long a request waits for another one at the same upload: one whose connection broke ends soon."""

_POLL: Final = 0.05

_REREADINGS: Final = 2
"""Large files that are read again at a time, so that threads are left for what is short."""

Verb = Callable[["Visit", Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Visit:
    """One caller's place: where the files are, and the uploads beside them."""

    shelf: Shelf
    uploads: Uploads


class Tus:
    """The protocol's resources: all uploads at `PATH`, and each below it."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self._rereading = asyncio.Semaphore(_REREADINGS)
        self._listing = asyncio.Semaphore(1)  # long lists, side by side, left no thread for files
        self._at_all: Mapping[str, Verb] = {
            "OPTIONS": self._say_what_is_known,
            "POST": self._create,
            "GET": self._list,
        }
        self._at_one: Mapping[str, Verb] = {
            "OPTIONS": self._say_what_is_known,
            "HEAD": self._tell,
            "PATCH": self._append,
            "DELETE": self._end,
        }

    async def all(self, request: Request) -> Response:
        """A request to `PATH` itself."""
        return await self._answer(self._at_all, request)

    async def one(self, request: Request) -> Response:
        """A request to one upload."""
        return await self._answer(self._at_one, request)

    async def _answer(self, verbs: Mapping[str, Verb], request: Request) -> Response:
        try:
            answer = await self._do(verbs, request)
        except KeysteadError as error:
            answer = await on_error(request, error)
        except HTTPException as error:
            answer = await on_http_error(request, error)
        except OSError as error:
            answer = await on_disk_error(request, error)
        answer.headers["tus-resumable"] = VERSION
        if answer.status_code == 412:
            answer.headers["tus-version"] = VERSION
        return answer

    async def _do(self, verbs: Mapping[str, Verb], request: Request) -> Response:
        method = method_of(request)
        verb = verbs.get(method)
        if verb is None:
            raise HTTPException(405, headers={"allow": ", ".join(verbs)})
        if method not in {"OPTIONS", "GET"}:
            check_version(request)
        shelf = self._store.shelf(peer_of(request.scope).identity)
        return await verb(Visit(shelf, Uploads(shelf.folder, self._ledger.limits.expiry)), request)

    async def _say_what_is_known(self, _: Visit, __: Request) -> Response:
        headers = {
            "tus-version": VERSION,
            "tus-extension": ",".join(EXTENSIONS),
            "tus-max-size": str(self._ledger.limits.file),
            "tus-checksum-algorithm": ",".join(ALGORITHMS),
        }
        return Response(status_code=204, headers=headers)

    async def _list(self, visit: Visit, request: Request) -> Response:
        async with self._listing:
            if await request.is_disconnected():
                return CLIENT_GONE
            body = await asyncio.to_thread(lambda: list_to_json(visit.uploads.pending()))
        return as_json(body, headers={"cache-control": "no-store"})

    async def _create(self, visit: Visit, request: Request) -> Response:
        state, body = state_of(request), body_of(request)
        if body is not None and body > state.length:
            raise beyond(state.length)
        checks = checks_of(request, "content-digest")
        held = await asyncio.to_thread(self._admit, visit, state)
        async with _closing(held):
            try:
                if body is not None or held.is_whole:
                    await self._receive(visit, held, request, checks)
            except ClientDisconnect:
                return CLIENT_GONE
            except (KeysteadError, OSError):
                await asyncio.to_thread(held.remove)  # for its sender is not told where it is
                raise
        found = await asyncio.to_thread(visit.uploads.find, held.id)
        return Response(None, 201, {"location": target_of(held.id), **_fields(found)})

    def _admit(self, visit: Visit, state: State) -> Held:
        visit.shelf.prepare()
        with self._ledger.admission(visit.shelf.folder) as admission:
            admission.expect(state.length)
            return visit.uploads.create(state)

    async def _tell(self, visit: Visit, request: Request) -> Response:
        found = await asyncio.to_thread(visit.uploads.find, id_of(request))
        if found.is_whole and not found.is_kept:  # its server was killed before it could be made visible
            async with self._holding(visit, found.id) as held:
                if isinstance(held, Held) and held.is_whole:
                    await self._keep(visit, held)
            found = await asyncio.to_thread(visit.uploads.find, found.id)
        metadata = {"upload-metadata": found.state.metadata.to_field()}
        return Response(None, 200, {**_fields(found), **metadata, "cache-control": "no-store"})

    async def _append(self, visit: Visit, request: Request) -> Response:
        body = body_of(request) or 0
        offset = parse_octets(request.headers.get("upload-offset"), "Upload-Offset")
        checks = checks_of(request, "content-digest", "repr-digest")  # both of the body, by RFC 9530
        async with self._holding(visit, id_of(request)) as held:
            reached = held.offset if isinstance(held, Found) else held.file.size
            if offset != reached:
                raise elsewhere(offset, reached)
            if offset + body > held.state.length:
                raise beyond(held.state.length)
            if isinstance(held, Held):
                try:
                    await self._receive(visit, held, request, checks)
                except ClientDisconnect:
                    return CLIENT_GONE
        found = await asyncio.to_thread(visit.uploads.find, held.id)
        return Response(None, 204, _fields(found))

    async def _receive(self, visit: Visit, held: Held, request: Request, checks: Checks) -> None:
        """Take the body; where all has come, it becomes visible."""
        offset, length = held.file.size, held.state.length
        admission = await asyncio.to_thread(self._ledger.continuation, visit.shelf.folder, offset, length)
        if "if-match" in request.headers:
            async with self._rereading:
                await asyncio.to_thread(held.check_prefix, Conditions.of(request.headers))
        if checks:
            await asyncio.to_thread(held.begin_checked, checks)
        await receive_into(held.file, _at_most(request.stream(), length - offset, length), admission)
        if checks:
            await asyncio.to_thread(held.end_checked, checks)
        if held.is_whole:
            await self._keep(visit, held)
        else:
            await asyncio.to_thread(held.sync)

    async def _keep(self, visit: Visit, held: Held) -> None:
        async with nullcontext() if held.file.is_hashed else self._rereading:
            await asyncio.to_thread(held.keep, visit.shelf)

    async def _end(self, visit: Visit, request: Request) -> Response:
        async with self._holding(visit, id_of(request)) as held:
            if isinstance(held, Found):
                await asyncio.to_thread(visit.uploads.forget, held.id)
            else:
                await asyncio.to_thread(held.remove)
        return Response(status_code=204)

    @asynccontextmanager
    async def _holding(self, visit: Visit, upload_id: str) -> AsyncIterator[Held | Found]:
        """The upload for this request alone; a finished one, which nobody changes any more, as it is."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            found = await asyncio.to_thread(visit.uploads.find, upload_id)
            if found.is_kept:
                yield found
                return
            held = await asyncio.to_thread(visit.uploads.take, upload_id)
            if held is not None:
                async with _closing(held):
                    yield held
                return
            if time.monotonic() > deadline:
                raise busy()
            await asyncio.sleep(_POLL)


@asynccontextmanager
async def _closing(held: Held) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await asyncio.shield(asyncio.to_thread(held.close))


async def _at_most(body: AsyncIterator[bytes], octets: int, length: int) -> AsyncIterator[bytes]:
    async for chunk in body:
        octets -= len(chunk)
        if octets < 0:
            raise beyond(length)
        yield chunk


def _fields(found: Found) -> dict[str, str]:
    """What every answer says of an upload; of a finished one also which file it has become."""
    fields = {
        "upload-offset": str(found.offset),
        "upload-length": str(found.state.length),
        "upload-expires": expires_field(found.expires),
    }
    if found.is_kept and found.state.kept is not None:
        fields["content-location"] = target_of_file(found.state.name)
        fields["etag"] = etag_of(found.state.kept)
        fields["repr-digest"] = digest_field(found.state.kept)
    return fields
