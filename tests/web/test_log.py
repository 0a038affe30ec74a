"""Lines of the log."""

from __future__ import annotations

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import BadInput
from keystead.tls.refused import RefusedHandshake
from keystead.web.log import RequestLine, ServerLog, uvicorn_logger


def line(path: str, address: str = "192.0.2.1") -> RequestLine:
    return RequestLine("spiffe://dev.x/client/alice", "1f", address, "GET", path, 200, 0, 5, 0.1)


@given(st.text(), st.text())
def test_whatever_strangers_send_stays_one_line_of_ascii(path: str, address: str) -> None:
    stream = io.StringIO()
    ServerLog(stream).request(line(path, address))
    text = stream.getvalue()
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert text.rstrip("\n").isascii()
    assert text.rstrip("\n").isprintable()
    assert json.loads(text)["path"] == path.encode("utf-16", "surrogatepass").decode(
        "utf-16", "surrogatepass"
    )


def test_each_kind_of_line_names_its_event() -> None:
    stream = io.StringIO()
    log = ServerLog(stream)
    log.request(line("/"))
    log.refused(RefusedHandshake("192.0.2.1", "revoked", "it is revoked", 0, b"no certificate"))
    log.warning(BadInput("a file is broken", why="cut off", mend="bring it again"))
    log.event("started", addresses=[])
    log.failure("the application failed", ValueError("x"))
    uvicorn_logger(log).warning("something of uvicorn's")
    lines = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert [found["event"] for found in lines] == [
        "request",
        "handshake-refused",
        "warning",
        "started",
        "failure",
        "failure",
    ]
    assert all(found["time"].endswith("Z") for found in lines)
    assert lines[1]["certificate"] is None
    assert lines[2]["mend"] == "bring it again"


def test_a_stream_that_is_gone_stops_nothing() -> None:
    stream = io.StringIO()
    log = ServerLog(stream)
    stream.close()
    log.request(line("/"))
