"""`keystead.client`: httpx2's client, with our trust and our words."""

from __future__ import annotations

import socket

import pytest

import keystead
from keystead.errors import KeysteadError, WrongUsage
from tests.subscriber.conftest import Subscribe
from tests.subscriber.fileclient.conftest import Running


def test_a_program_uploads_and_reads(server: Running) -> None:
    with keystead.client(server.folder.path, server=server.address.url) as client:
        answer = client.put("/files/f", content=b"hello")
        assert answer.json()["size"] == 5
        assert client.get("/whoami").json()["name"] == "alice"
        assert client.get(f"{server.address.url}/files/f").content == b"hello"


def test_the_shells_settings_have_no_influence(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    with keystead.client(server.folder.path, server=server.address.url) as client:
        assert client.get("/whoami").status_code == 200


def test_failures_come_in_words(server: Running, subscribe: Subscribe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        keystead.client(server.folder.path, server=f"https://127.0.0.1:{port}") as client,
        pytest.raises(KeysteadError) as caught,
    ):
        client.get("/whoami")
    assert caught.value.why == "nobody listens there"


def test_plain_http_is_not_spoken(server: Running) -> None:
    with keystead.client(server.folder.path) as client, pytest.raises(WrongUsage):
        client.get("http://127.0.0.1/whoami")


def test_the_face_has_what_it_says() -> None:
    for name in keystead.__all__:
        assert getattr(keystead, name) is not None
    assert keystead.__version__.count(".") == 2
    with pytest.raises(AttributeError):
        _ = keystead.nonsense
