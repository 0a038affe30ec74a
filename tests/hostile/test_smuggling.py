"""A request hidden behind an ambiguous one is never served, by the installed server."""

from __future__ import annotations

import contextlib

import pytest

from tests.hostile.attacks_http import AMBIGUOUS, HIDDEN, SMUGGLED_TARGET, ambiguous
from tests.hostile.attacks_tls import TROUBLE
from tests.hostile.conftest import Siege
from tests.tls.rawclient import RawClient
from tests.web.apps import get, read_answer

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_what_two_readers_could_read_as_two_is_refused_and_nothing_behind_it_is_read(
    siege: Siege, kind: str
) -> None:
    with RawClient(siege.mallory.port, siege.mallory.context) as client:
        client.handshake().send(ambiguous(kind))
        answer = read_answer(client)
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        with contextlib.suppress(*TROUBLE):
            assert client.recv_all() == b""
    assert siege.asked_for(SMUGGLED_TARGET.decode()) == []


def test_the_hidden_request_would_be_served_if_it_came_openly(siege: Siege) -> None:
    with RawClient(siege.mallory.port, siege.mallory.context) as client:
        client.handshake().send(HIDDEN.replace(SMUGGLED_TARGET, b"/files/open"))
        assert read_answer(client).status == 201
        assert get(client, SMUGGLED_TARGET.decode()).status == 404
