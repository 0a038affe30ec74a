"""Requests of the tus protocol, read and judged before anything is touched; and what is wrong with them.

Not here: the spelling of its fields (`wire.tus`), and what is done (`tus`).
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request

from keystead.errors import BadInput, Unavailable
from keystead.subscriber.fileserver.receiving import announced_length, check_headers, wanted_digests
from keystead.subscriber.fileserver.states import State
from keystead.wire.tus import (
    CHUNK_TYPE,
    EXTENSIONS,
    PATH,
    VERSION,
    Checksum,
    Metadata,
    is_upload_id,
    parse_octets,
)

Checks = tuple[Checksum, ...]
"""What a body must pass."""


def method_of(request: Request) -> str:
    """The method that is meant: one that cannot be sent is named in a field (section *Headers*)."""
    return request.headers.get("x-http-method-override", request.method)


def check_version(request: Request) -> None:
    """Raise `BadInput` (for a 412) unless the client speaks our version."""
    if request.headers.get("tus-resumable") != VERSION:
        raise BadInput(
            f"only tus {VERSION} is spoken here",
            why=f"Tus-Resumable is {request.headers.get('tus-resumable', 'missing')!r}",
            mend=f"send Tus-Resumable: {VERSION}",
            code="tus-version",
        )


def state_of(request: Request) -> State:
    """The upload that a request wants to have; raises `BadInput`."""
    for field in ("upload-defer-length", "upload-concat"):
        if field in request.headers:
            raise BadInput(
                f"{field} is not done here",
                why=f"these extensions are: {', '.join(EXTENSIONS)}",
                mend="send Upload-Length, and the file as one upload",
                code="bad-tus-field",
            )
    length = parse_octets(request.headers.get("upload-length"), "Upload-Length")
    metadata = Metadata.parse(request.headers.get("upload-metadata", ""))
    metadata.file_name()
    return State(length, metadata, wanted_digests(request.headers, "repr-digest"))


def body_of(request: Request) -> int | None:
    """How many octets of the upload the request brings, as far as that is announced; None: it brings none."""
    check_headers(request.headers)
    octets = announced_length(request.headers)
    is_chunk = request.headers.get("content-type", "").strip().lower() == CHUNK_TYPE
    needs_it = octets > 0 or method_of(request) == "PATCH"
    if needs_it and not is_chunk:
        raise BadInput(
            "this is no part of an upload",
            why=f"Content-Type is {request.headers.get('content-type', 'missing')!r}",
            mend=f"send Content-Type: {CHUNK_TYPE}",
            code="chunk-type",
        )
    return octets if is_chunk else None


def checks_of(request: Request, *fields: str) -> Checks:
    """What the body must have: its ``Upload-Checksum``, and the digests of RFC 9530 in ``fields``."""
    checksums = map(Checksum.parse, request.headers.getlist("upload-checksum"))
    digests = wanted_digests(request.headers, *fields)
    return (*checksums, *(Checksum("sha256", digest) for digest in digests))


def id_of(request: Request) -> str:
    """Which upload the target names."""
    segment: bytes = request.scope["raw_path"]
    upload_id = segment.removeprefix(PATH.encode("ascii")).decode("latin-1")
    if not is_upload_id(upload_id):
        raise HTTPException(404)
    return upload_id


def elsewhere(offset: int, reached: int) -> BadInput:
    """What is wrong where a part begins elsewhere than the upload has got to."""
    return BadInput(
        "the upload does not go on there",
        why=f"Upload-Offset is {offset:,}, and {reached:,} octets are here",
        mend="ask by HEAD where it goes on",
        code="offset-conflict",
    )


def beyond(length: int) -> BadInput:
    """What is wrong where more comes than was announced."""
    return BadInput(
        "more came than the upload was to have",
        why=f"its Upload-Length is {length:,}",
        mend="send what is missing and no more",
        code="beyond-length",
    )


def busy() -> Unavailable:
    """What is said where somebody else is sending."""
    return Unavailable(
        "another request is sending to this upload",
        why="one at a time may; of a broken connection the server learns after a while only",
        mend="try again in a moment",
        code="upload-busy",
    )
