from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest

from keystead.errors import BadInput, Distrusted, NotThere, Unavailable
from keystead.pki.names import HostNames
from keystead.subscriber.folder import open_folder, read_crls
from keystead.subscriber.layout import Folder
from keystead.subscriber.request import request
from keystead.subscriber.roles import Role
from tests.subscriber.conftest import Subscribe
from tests.subscriber.throwaway_ca import ThrowawayCa


def test_the_only_identity_is_found(folder: Folder, subscribe: Subscribe, ca: ThrowawayCa) -> None:
    files = subscribe("alice")
    opened = open_folder(folder.path, Role.CLIENT)
    assert opened.identity.uri == "spiffe://dev.example.internal/client/alice"
    assert opened.trust_domain == ca.trust_domain
    assert opened.key_path == files.key
    assert opened.key_pem == files.key.read_bytes()
    assert opened.chain_pem == files.certificate.read_bytes()
    assert opened.anchors == (ca.root.certificate,)


def test_the_key_is_not_in_what_a_log_would_show(folder: Folder, subscribe: Subscribe) -> None:
    subscribe("alice")
    assert "PRIVATE" not in repr(open_folder(folder.path, Role.CLIENT))


def test_a_server_and_a_client_in_one_folder_are_told_apart(folder: Folder, subscribe: Subscribe) -> None:
    subscribe("web", Role.SERVER)
    subscribe("alice")
    assert open_folder(folder.path, Role.CLIENT).name == "alice"
    assert open_folder(folder.path, Role.SERVER).name == "web"


def test_several_that_fit_are_listed(folder: Folder, subscribe: Subscribe) -> None:
    subscribe("alice")
    subscribe("bob")
    with pytest.raises(NotThere) as refusal:
        open_folder(folder.path, Role.CLIENT)
    assert refusal.value.code == "ambiguous"
    assert "alice is spiffe://" in refusal.value.why
    assert "bob is spiffe://" in refusal.value.why
    assert "--name alice" in refusal.value.mend


def test_a_name_chooses(folder: Folder, subscribe: Subscribe) -> None:
    subscribe("alice")
    subscribe("bob")
    assert open_folder(folder.path, Role.CLIENT, "bob").identity.name == "bob"


def test_a_name_without_a_key_says_which_there_are(folder: Folder, subscribe: Subscribe) -> None:
    subscribe("alice")
    with pytest.raises(NotThere) as refusal:
        open_folder(folder.path, Role.CLIENT, "bob")
    assert "alice.key" in refusal.value.why


def test_a_name_that_leads_elsewhere_is_refused(folder: Folder, subscribe: Subscribe) -> None:
    subscribe("alice")
    with pytest.raises(BadInput):
        open_folder(folder.path, Role.CLIENT, "../alice")


def test_a_certificate_for_another_purpose_does_not_fit(folder: Folder, subscribe: Subscribe) -> None:
    subscribe("alice")
    with pytest.raises(NotThere, match="no server's certificate") as refusal:
        open_folder(folder.path, Role.SERVER, "alice")
    assert "--profile server" in refusal.value.mend


def test_where_none_fits_it_is_said_what_is_there(folder: Folder, subscribe: Subscribe) -> None:
    subscribe("alice")
    request(folder, "bob", Role.CLIENT, HostNames())
    with pytest.raises(NotThere) as refusal:
        open_folder(folder.path, Role.SERVER)
    assert "alice.crt is no server's certificate" in refusal.value.why
    assert "bob.key has no certificate yet" in refusal.value.why


def test_a_key_without_certificate_says_what_to_send(folder: Folder) -> None:
    request(folder, "alice", Role.CLIENT, HostNames())
    with pytest.raises(NotThere) as refusal:
        open_folder(folder.path, Role.CLIENT, "alice")
    assert "alice.csr to the CA" in refusal.value.mend
    assert "keystead install" in refusal.value.mend


@pytest.mark.parametrize(("waiting", "installs"), [(Role.SERVER, True), (Role.CLIENT, False)])
def test_a_csr_that_waits_for_its_certificate_is_told_of_in_its_role_alone(
    folder: Folder, waiting: Role, installs: bool
) -> None:
    request(folder, "web", waiting, HostNames.of(["localhost"] if installs else []))
    with pytest.raises(NotThere) as refusal:
        open_folder(folder.path, Role.SERVER)
    assert ("keystead install web.pem" in refusal.value.mend) is installs


def test_without_a_folder_it_is_said_how_to_begin(folder: Folder) -> None:
    with pytest.raises(NotThere, match="no folder") as refusal:
        open_folder(folder.path, Role.CLIENT)
    assert "keystead csr" in refusal.value.mend


def test_an_empty_folder_says_how_to_begin(folder: Folder) -> None:
    folder.path.mkdir()
    with pytest.raises(NotThere) as refusal:
        open_folder(folder.path, Role.SERVER)
    assert "keystead csr NAME --profile server --dir" in refusal.value.mend


def test_a_missing_anchor_is_named(folder: Folder, subscribe: Subscribe) -> None:
    subscribe("alice")
    folder.ca.unlink()
    with pytest.raises(NotThere, match=r"ca\.crt"):
        open_folder(folder.path, Role.CLIENT)


def test_a_broken_anchor_is_named(folder: Folder, subscribe: Subscribe) -> None:
    subscribe("alice")
    folder.ca.write_text("nonsense")
    with pytest.raises(BadInput, match=r"ca\.crt"):
        open_folder(folder.path, Role.CLIENT)


def test_a_key_that_others_can_read_is_not_used(folder: Folder, subscribe: Subscribe) -> None:
    subscribe("alice").key.chmod(0o644)
    with pytest.raises(Unavailable, match="other accounts"):
        open_folder(folder.path, Role.CLIENT, "alice")


def test_the_only_key_is_not_passed_over_because_others_can_read_it(
    folder: Folder, subscribe: Subscribe
) -> None:
    subscribe("alice").key.chmod(0o644)
    with pytest.raises(Unavailable, match=r"alice\.key") as refusal:
        open_folder(folder.path, Role.CLIENT)
    assert refusal.value.mend.startswith("chmod 600")


def test_a_pair_that_does_not_fit_is_refused(folder: Folder, subscribe: Subscribe) -> None:
    alice, bob = subscribe("alice"), subscribe("bob")
    shutil.copy(bob.certificate, alice.certificate)
    with pytest.raises(Distrusted) as refusal:
        open_folder(folder.path, Role.CLIENT, "alice")
    assert refusal.value.code == "key-mismatch"


def test_an_expired_certificate_opens(folder: Folder, subscribe: Subscribe) -> None:
    """It is the other side that refuses it; the client says so beforehand if it likes."""
    subscribe("alice", lifetime="30d")
    opened = open_folder(folder.path, Role.CLIENT)
    assert opened.certificate.not_valid_after_utc < datetime.now(UTC) + timedelta(days=31)


def test_the_variables_of_the_ca_are_ignored(
    folder: Folder, subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe("alice")
    monkeypatch.setenv("KEYSTEAD_ENV", "prod")
    monkeypatch.setenv("KEYSTEAD_HOME", "/nonexistent")
    assert open_folder(folder.path, Role.CLIENT).identity.environment == "dev"


def test_a_folder_without_lists_has_none(folder: Folder, subscribe: Subscribe) -> None:
    subscribe("alice")
    assert len(read_crls(folder.crl) or ()) == 2
    folder.crl.unlink()
    assert read_crls(folder.crl) is None


def test_a_broken_list_is_named(folder: Folder, subscribe: Subscribe) -> None:
    subscribe("alice")
    folder.crl.write_text("nonsense")
    with pytest.raises(BadInput, match=r"crl\.pem"):
        read_crls(folder.crl)
