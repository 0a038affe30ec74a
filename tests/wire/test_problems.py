"""Problem documents: what one side writes the other reads, and nothing else is taken for one."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.errors import BadInput, Distrusted
from keystead.wire.problems import MAX_DOCUMENT, Problem

codes = st.from_regex(r"[a-z][a-z-]{0,30}", fullmatch=True)
texts = st.text(max_size=200)


@given(st.integers(400, 599), codes, texts.filter(bool), texts, texts)
def test_a_problem_survives_the_journey(status: int, code: str, what: str, why: str, mend: str) -> None:
    problem = Problem(status, code, what, why, mend)
    assert Problem.parse(problem.to_json(), status) == problem


def test_a_problem_has_the_members_of_rfc_9457() -> None:
    error = Distrusted("it is revoked", why="since yesterday", mend="make a new key", code="revoked")
    assert json.loads(Problem.from_error(error, 403).to_json()) == {
        "type": "urn:keystead:problem:revoked",
        "title": "it is revoked",
        "status": 403,
        "detail": "since yesterday",
        "mend": "make a new key",
    }


def test_a_problem_becomes_the_error_that_it_was() -> None:
    error = Problem(403, "revoked", "it is revoked", "since yesterday", "make a new key").as_error()
    assert (error.code, error.what, error.why, error.mend) == (
        "revoked",
        "it is revoked",
        "since yesterday",
        "make a new key",
    )


def test_the_status_line_is_believed_before_the_document() -> None:
    assert Problem.parse(b'{"title": "x", "status": 200}', 507).status == 507


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[]",
        b'"text"',
        b"{}",
        b'{"title": 3}',
        b"\xff",
        b"[" * 50_000,
        b" " * (MAX_DOCUMENT + 1),
    ],
)
def test_what_is_no_problem_document_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        Problem.parse(data, 500)


@given(st.binary(max_size=300))
def test_any_bytes_are_either_a_problem_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadInput):
        Problem.parse(data, 500)
