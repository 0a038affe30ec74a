"""The server as a whole: who is told to the app, what is refused above TLS, what the log says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from keystead.errors import KeysteadError, NotThere, Unavailable
from keystead.pki.certificates import to_pem
from keystead.tls.peer import crls_of
from keystead.web.limits import Limits
from tests.tls.doors import until
from tests.tls.rawclient import alert_of
from tests.tls.throwaway import Environment, Pair
from tests.web.apps import Uploads, begin_upload, count, get, read_answer, whoami


def test_the_app_is_told_who_is_there(serve: Any, alice: Pair, dev: Environment) -> None:
    with serve(whoami) as served, served.client(alice) as client:
        answer = get(client, "/whoami")
    facts = __import__("json").loads(answer.body)
    assert facts["identity"] == "spiffe://dev.example.internal/client/alice"
    assert facts["serial"] == alice.serial
    assert facts["scheme"] == "https"
    tls = facts["tls"]
    chain = [x509.load_pem_x509_certificate(pem.encode()) for pem in tls["client_cert_chain"]]
    assert chain == [alice.certificate, dev.issuing.certificate]
    assert tls["client_cert_name"] == "CN=alice,OU=dev"
    assert (tls["tls_version"], tls["cipher_suite"]) == (0x0304, 0x1302)
    assert tls["client_cert_error"] is None
    assert "BEGIN CERTIFICATE" in tls["server_cert"]


def test_the_app_can_hand_out_the_crls_in_force(serve: Any, alice: Pair, folder: Any) -> None:
    async def crls(scope: Any, receive: Any, send: Any) -> None:
        body = crls_of(scope)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", str(len(body)).encode())],
            }
        )
        await send({"type": "http.response.body", "body": body})

    with serve(crls) as served, served.client(alice) as client:
        assert get(client).body.count(b"BEGIN X509 CRL") == 2


def test_each_request_is_a_line_of_the_log(serve: Any, alice: Pair) -> None:
    with serve(count) as served, served.client(alice) as client:
        begin_upload(client, 5, "/files/%0Aevil%1b[31m")
        client.send(b"12345")
        read_answer(client)
        until(lambda: served.log.events("request"))
        (line,) = served.log.events("request")
    assert line["identity"] == "spiffe://dev.example.internal/client/alice"
    assert (line["serial"], line["method"], line["status"]) == (alice.serial, "PUT", 200)
    assert (line["bytes_in"], line["bytes_out"], line["address"]) == (5, 1, "127.0.0.1")
    assert line["ms"] >= 0
    assert "\x1b" not in served.log.getvalue()


def test_a_line_says_which_method_was_meant_where_another_carried_it(serve: Any, alice: Pair) -> None:
    heads = (b"", b"X-HTTP-Method-Override: DELETE\r\n")
    with serve(whoami) as served, served.client(alice) as client:
        for head in heads:
            client.send(b"POST /tus/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n" + head + b"\r\n")
            read_answer(client)
        until(lambda: len(served.log.events("request")) == 2)
        lines = served.log.events("request")
    assert [(line["method"], line["override"]) for line in lines] == [("POST", None), ("POST", "DELETE")]


def test_a_refused_handshake_is_a_line_too(serve: Any, prod: Environment) -> None:
    with serve(whoami) as served:
        assert alert_of(served.port, prod.leaf("alice").context) == "TLSV1_ALERT_UNKNOWN_CA"
        until(lambda: served.log.events("handshake-refused"))
        (line,) = served.log.events("handshake-refused")
    assert line["code"] == "unknown-ca"
    assert line["certificate"]["uris"] == ["spiffe://prod.example.internal"]


def test_a_peer_of_another_trust_domain_gets_a_403_that_names_both(
    serve: Any, folder: Any, dev: Environment, prod: Environment
) -> None:
    folder.write("ca.crt", to_pem(dev.root.certificate, prod.root.certificate))
    folder.write("crl.pem", dev.crl_pem() + prod.crl_pem())
    uploads = Uploads()
    with serve(uploads) as served, served.client(prod.leaf("alice")) as client:
        answer = get(client)
        assert client.recv() == b""  # and the connection is closed
    assert answer.status == 403
    assert answer.problem["type"] == "urn:keystead:problem:foreign-domain"
    assert "prod.example.internal" in answer.problem["title"]
    assert "dev.example.internal" in answer.problem["title"]
    assert uploads.begun == 0
    assert served.log.events("request")[0]["code"] == "foreign-domain"


STRANGERS = {
    "without an identity": "",
    "with a foreign identity under our own ca": "spiffe://prod.example.internal/client/alice",
    "with something else for an identity": "https://example.org/alice",
    "with a path more": "spiffe://dev.example.internal/client/alice/x",
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_peer_is_refused(serve: Any, dev: Environment, kind: str) -> None:
    with serve(whoami) as served, served.client(dev.leaf("alice", uri=STRANGERS[kind])) as client:
        answer = get(client)
    assert answer.status == 403
    assert answer.problem["type"].removeprefix("urn:keystead:problem:") in ("no-identity", "foreign-domain")


def test_a_chain_whose_cas_disagree_is_refused(
    serve: Any, folder: Any, dev: Environment, prod: Environment
) -> None:
    crossed = dev.authority("crossed", prod.root, path_length=0)  # prod's root vouches for a "dev" CA
    folder.write("ca.crt", to_pem(dev.root.certificate, prod.root.certificate))
    crossed_env = Environment(dev.trust_domain)
    crossed_env.issuing = crossed
    folder.write("crl.pem", dev.crl_pem() + prod.crl_pem() + to_crl(crossed_env))
    pair = dev.leaf("alice", issuer=crossed, above=(crossed,))
    with serve(whoami) as served, served.client(pair) as client:
        answer = get(client)
    assert answer.problem["type"] == "urn:keystead:problem:foreign-domain"


def to_crl(env: Environment) -> bytes:
    from keystead.pki.revocation import crl_to_pem

    return crl_to_pem(env.crls()[0])


def test_a_certificate_that_expires_on_a_kept_alive_connection_is_refused(
    serve: Any, dev: Environment
) -> None:
    brief = dev.leaf("brief", lifetime=timedelta(seconds=2))
    with serve(whoami) as served, served.client(brief) as client:
        assert get(client).status == 200
        until(
            lambda: (
                brief.certificate.not_valid_after_utc
                < __import__("datetime").datetime.now(__import__("datetime").UTC)
            )
        )
        answer = get(client)
        assert answer.problem["type"] == "urn:keystead:problem:expired"
        assert client.recv() == b""


def test_without_a_crl_nothing_is_served(serve: Any, folder: Any) -> None:
    (folder.path / "crl.pem").unlink()
    with pytest.raises(NotThere) as caught, serve(whoami):
        pass
    assert "keystead ca crl" in caught.value.mend


def test_with_the_issuing_cas_crl_alone_nothing_is_served(serve: Any, folder: Any, dev: Environment) -> None:
    folder.write("crl.pem", to_crl(dev))
    with pytest.raises(NotThere, match="root"), serve(whoami):
        pass


def test_with_a_crl_stale_beyond_the_grace_nothing_is_served(
    serve: Any, folder: Any, dev: Environment
) -> None:
    from keystead.pki.revocation import crl_to_pem
    from tests.tls.throwaway import now

    old = dev.crls(made=now() - timedelta(days=20), lifetime=timedelta(days=5))
    folder.write("crl.pem", crl_to_pem(*old))
    with pytest.raises(KeysteadError) as caught, serve(whoami):
        pass
    assert caught.value.code == "crl-stale"


def test_a_crl_stale_within_the_grace_is_warned_of(
    serve: Any, folder: Any, dev: Environment, alice: Pair
) -> None:
    from keystead.pki.revocation import crl_to_pem
    from tests.tls.throwaway import now

    old = dev.crls(made=now() - timedelta(days=7), lifetime=timedelta(days=5))
    folder.write("crl.pem", crl_to_pem(*old))
    with serve(whoami) as served, served.client(alice) as client:
        assert get(client).status == 200
        assert served.log.events("warning")[0]["code"] == "crl-stale"


def test_an_address_in_use_is_said_so(serve: Any) -> None:
    with (
        serve(whoami) as served,
        pytest.raises(Unavailable, match="cannot listen"),
        serve(whoami, listen=(f"127.0.0.1:{served.port}",)),
    ):
        pass


def test_localhost_is_bound_with_one_port_for_all_its_addresses(serve: Any, alice: Pair) -> None:
    with serve(whoami, listen=("localhost:0",)) as served, served.client(alice, host="localhost") as client:
        assert get(client).status == 200


def test_an_app_that_fails_is_answered_for_and_logged(serve: Any, alice: Pair) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            raise RuntimeError("oh \u202e no")

    with serve(broken) as served, served.client(alice) as client:
        answer = get(client)
        until(lambda: served.log.events("request"))
    assert answer.problem["type"] == "urn:keystead:problem:server-failed"
    assert "RuntimeError" in served.log.events("failure")[0]["traceback"]
    assert served.log.events("request")[0]["status"] == 500


def test_an_app_that_fails_in_mid_answer_gives_no_whole_answer(serve: Any, alice: Pair) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise RuntimeError

    with serve(broken) as served, served.client(alice) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises((ConnectionError, __import__("ssl").SSLError)):
            client.recv_all()


def test_an_app_that_does_not_start_is_an_error(serve: Any) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(Unavailable, match="did not start"), serve(broken):
        pass


def test_the_limits_have_the_documented_defaults() -> None:
    assert Limits() == Limits(32_768, 10.0, 15.0, 30.0, 1_000, 100, 10.0)
