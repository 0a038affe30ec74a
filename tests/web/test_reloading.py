"""What changes on the disk is in force within a second, and no good connection notices."""

from __future__ import annotations

import os
import ssl
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from keystead.errors import Distrusted
from keystead.pki.certificates import to_pem
from keystead.pki.keys import KeyType, generate
from keystead.pki.revocation import crl_to_pem
from keystead.tls.contexts import ServerCredentials
from tests.tls.doors import until
from tests.tls.rawclient import RawClient, alert_of
from tests.tls.throwaway import Environment, Pair, now
from tests.web.apps import Slow, Uploads, begin_upload, get, read_answer, whoami

pytestmark = pytest.mark.slow


def reloads(served: Any, count: int = 1) -> None:
    until(lambda: len(served.log.events("reloaded")) >= count, 5)


def shown(port: int, pair: Pair) -> bytes:
    with RawClient(port, pair.context) as client:
        certificate = client.handshake().tls.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


def test_a_client_revoked_on_a_kept_alive_connection_is_refused_within_a_second(
    serve: Any, folder: Any, dev: Environment
) -> None:
    carol = dev.leaf("carol")
    with serve(whoami) as served, served.client(carol) as client:
        assert get(client).status == 200
        folder.write("crl.pem", dev.crl_pem(carol, number=2))
        begun = time.monotonic()
        assert client.recv() == b""  # cut while idle
        assert time.monotonic() - begun < 1.0
        assert alert_of(served.port, carol.context) == "SSLV3_ALERT_CERTIFICATE_REVOKED"


def test_a_running_upload_of_a_revoked_client_is_cut_and_told_why(
    serve: Any, folder: Any, dev: Environment, alice: Pair
) -> None:
    carol, uploads = dev.leaf("carol"), Uploads()
    with serve(uploads) as served, served.client(carol) as bad, served.client(alice) as good:
        begin_upload(bad, 10_000_000)
        begin_upload(good, 1_000_000)
        bad.send(bytes(100_000))
        good.send(bytes(500_000))
        until(lambda: uploads.received == 600_000)
        folder.write("crl.pem", dev.crl_pem(carol, number=2))
        told = read_answer(bad)
        assert (told.status, told.problem["type"]) == (403, "urn:keystead:problem:revoked")
        assert bad.recv() == b""
        until(lambda: uploads.ends == ["disconnected"])
        good.send(bytes(500_000))
        assert read_answer(good).status == 201
    lines = {line["identity"].rpartition("/")[2]: line for line in served.log.events("request")}
    assert (lines["carol"]["status"], lines["carol"]["code"]) == (403, "revoked")
    assert lines["alice"]["status"] == 201


def test_a_revoked_reader_in_mid_answer_is_reset(serve: Any, folder: Any, dev: Environment) -> None:
    carol, gate = dev.leaf("carol"), threading.Event()

    async def half(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            gate.set()
            while (await receive())["type"] != "http.disconnect":
                pass

    with serve(half) as served, served.client(carol) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert gate.wait(5)
        folder.write("crl.pem", dev.crl_pem(carol, number=2))
        with pytest.raises((ConnectionError, ssl.SSLError)):
            client.recv_all()


def test_clients_under_an_issuing_ca_that_is_revoked_are_cut(
    serve: Any, folder: Any, dev: Environment
) -> None:
    from keystead.pki.revocation import crl_to_pem

    carol = dev.leaf("carol")
    with serve(whoami) as served, served.client(carol) as client:
        assert get(client).status == 200
        folder.write("crl.pem", crl_to_pem(*dev.crls(number=2, root_revokes=(dev.issuing,))))
        assert client.recv() == b""


def test_a_new_certificate_is_shown_within_a_second_and_old_connections_run_on(
    serve: Any, folder: Any, dev: Environment, alice: Pair
) -> None:
    slow, fresh = Slow(), dev.leaf("web", "server")
    with serve(slow) as served, served.client(alice) as old:
        old.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: slow.begun)
        folder.install(fresh)
        until(
            lambda: shown(served.port, alice) == ssl.PEM_cert_to_DER_cert(to_pem(fresh.certificate).decode()),
            1.0,
        )
        slow.go()
        assert read_answer(old).body == b"at last"


def test_no_connection_is_lost_while_certificates_change_again_and_again(
    serve: Any, folder: Any, dev: Environment, alice: Pair
) -> None:
    stop, done = threading.Event(), 0
    failures: list[Exception] = []
    pairs = [dev.leaf("web", "server") for _ in range(4)]

    def visit() -> None:
        nonlocal done
        while not stop.is_set():
            try:
                with RawClient(served.port, alice.context) as client:
                    assert get(client.handshake()).status == 200
                done += 1
            except Exception as error:  # noqa: BLE001
                failures.append(error)

    with serve(whoami) as served:
        visitor = threading.Thread(target=visit)
        visitor.start()
        for count, pair in enumerate(pairs, start=1):
            folder.install(pair)
            reloads(served, count)
        stop.set()
        visitor.join()
    assert done > 10
    assert not failures


BROKEN = {
    "empty": b"",
    "cut off": b"-----BEGIN X509 CRL-----\nMIIB",
    "no list": b"hello",
    "binary": os.urandom(1000),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_crl_leaves_the_last_good_in_force_with_a_warning(
    serve: Any, folder: Any, dev: Environment, alice: Pair, kind: str
) -> None:
    carol = dev.leaf("carol")
    folder.write("crl.pem", dev.crl_pem(carol))
    with serve(whoami) as served, served.client(alice) as client:
        folder.write("crl.pem", BROKEN[kind])
        until(lambda: served.log.events("warning"))
        assert served.log.events("warning")[0]["code"] == "bad-crl"
        assert get(client).status == 200
        assert alert_of(served.port, carol.context) == "SSLV3_ALERT_CERTIFICATE_REVOKED"


def test_a_crl_file_that_is_gone_leaves_the_last_good_in_force(
    serve: Any, folder: Any, dev: Environment
) -> None:
    carol = dev.leaf("carol")
    folder.write("crl.pem", dev.crl_pem(carol))
    with serve(whoami) as served:
        (folder.path / "crl.pem").unlink()
        until(lambda: served.log.events("warning"))
        assert alert_of(served.port, carol.context) == "SSLV3_ALERT_CERTIFICATE_REVOKED"


def test_an_older_crl_is_not_accepted_while_serving(serve: Any, folder: Any, dev: Environment) -> None:
    carol = dev.leaf("carol")
    folder.write("crl.pem", dev.crl_pem(carol, number=5))
    with serve(whoami) as served:
        folder.write("crl.pem", dev.crl_pem(number=4))
        until(lambda: served.log.events("warning"))
        assert served.log.events("warning")[0]["code"] == "crl-rollback"
        assert alert_of(served.port, carol.context) == "SSLV3_ALERT_CERTIFICATE_REVOKED"


def test_an_older_crl_is_not_accepted_after_a_restart(serve: Any, folder: Any, dev: Environment) -> None:
    folder.write("crl.pem", dev.crl_pem(dev.leaf("carol"), number=5))
    with serve(whoami):
        pass
    folder.write("crl.pem", dev.crl_pem(number=4))
    with pytest.raises(Distrusted) as caught, serve(whoami):
        pass
    assert caught.value.code == "crl-rollback"
    folder.write("crl.pem", dev.crl_pem(number=6))
    with serve(whoami):
        pass


def test_a_list_by_a_forger_is_not_accepted(serve: Any, folder: Any, dev: Environment) -> None:
    forger = Environment(dev.trust_domain)  # the same names, other keys
    forged = forger.crls(number=9)[0]
    from keystead.pki.revocation import crl_to_pem

    with serve(whoami) as served:
        folder.write("crl.pem", crl_to_pem(forged, *dev.crls(number=2)))
        reloads(served)
        numbers = served.log.events("reloaded")[0]["crl_numbers"]
    assert set(numbers.values()) == {2}


def test_a_list_that_nobody_signed_does_not_end_the_watch(serve: Any, folder: Any, dev: Environment) -> None:
    carol = dev.leaf("carol")
    entry = x509.RevokedCertificateBuilder().serial_number(5).revocation_date(now())
    odd = entry.add_extension(x509.UnrecognizedExtension(x509.CRLReason.oid, b"\x05\x00"), critical=True)
    template, _ = dev.crls(number=9)
    builder = x509.CertificateRevocationListBuilder(
        template.issuer, now(), now() + timedelta(days=1), [*template.extensions], [odd.build()]
    )
    junk = builder.sign(generate(KeyType.P256), hashes.SHA256())
    with serve(whoami) as served:
        folder.write("crl.pem", crl_to_pem(junk))
        until(lambda: served.log.events("warning"))
        folder.write("crl.pem", dev.crl_pem(carol, number=2))
        reloads(served)
        assert alert_of(served.port, carol.context) == "SSLV3_ALERT_CERTIFICATE_REVOKED"


def test_a_mistake_while_loading_does_not_end_the_watch(serve: Any, folder: Any, dev: Environment) -> None:
    carol, is_broken = dev.leaf("carol"), False

    def load() -> ServerCredentials:
        if is_broken:
            raise ZeroDivisionError
        return cast(ServerCredentials, folder.load())

    with serve(whoami, replace(folder.source, load=load)) as served:
        is_broken = True
        folder.write("crl.pem", dev.crl_pem(number=2))
        until(lambda: served.log.events("warning"))
        assert "ZeroDivisionError" in served.log.events("warning")[0]["why"]
        is_broken = False
        folder.write("crl.pem", dev.crl_pem(carol, number=3))
        reloads(served)
        assert alert_of(served.port, carol.context) == "SSLV3_ALERT_CERTIFICATE_REVOKED"


def test_a_stale_list_that_a_stranger_appended_shuts_nobody_out(
    serve: Any, folder: Any, dev: Environment, alice: Pair
) -> None:
    made = now() - timedelta(days=99)
    junk = Environment(dev.trust_domain).crls(made=made, lifetime=timedelta(days=1))
    with serve(whoami) as served, served.client(alice) as client:
        folder.write("crl.pem", dev.crl_pem(number=2) + crl_to_pem(*junk))
        reloads(served)
        assert get(client).status == 200
        with served.client(alice) as another:
            assert get(another).status == 200


def test_a_pair_that_does_not_fit_leaves_the_last_good_in_force(
    serve: Any, folder: Any, dev: Environment, alice: Pair
) -> None:
    with serve(whoami) as served:
        before = shown(served.port, alice)
        folder.write("web.key", dev.leaf("other", "server").key_pem)
        until(lambda: served.log.events("warning"))
        assert served.log.events("warning")[0]["code"] == "key-mismatch"
        assert shown(served.port, alice) == before


def test_a_pair_that_is_replaced_file_by_file_is_not_warned_of(
    serve: Any, folder: Any, dev: Environment, alice: Pair
) -> None:
    fresh = dev.leaf("web", "server")
    with serve(whoami) as served:
        folder.install(fresh)
        reloads(served)
        assert not served.log.events("warning")


def test_an_anchor_that_is_taken_away_cuts_those_under_it(
    serve: Any, folder: Any, dev: Environment, alice: Pair
) -> None:
    other = Environment(dev.trust_domain)  # a second root of the same trust domain: a rotation
    folder.write("ca.crt", to_pem(dev.root.certificate, other.root.certificate))
    folder.write("crl.pem", dev.crl_pem() + other.crl_pem())
    with serve(whoami) as served, served.client(other.leaf("bob")) as bob, served.client(alice) as client:
        assert get(bob).status == 200
        folder.write("ca.crt", to_pem(dev.root.certificate))
        assert bob.recv() == b""
        assert get(client).status == 200


def test_the_private_key_is_in_no_line_of_the_log(serve: Any, folder: Any, dev: Environment) -> None:
    with serve(whoami) as served:
        folder.write("web.key", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
        until(lambda: served.log.events("warning"))
    assert "c2VjcmV0" not in served.log.getvalue()
