from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.pki.keys import KeyType
from keystead.pki.names import TrustDomain
from keystead.pki.revocation import REASONS
from tests.interop.linting import lint_certificate, lint_crl
from tests.pki.makers import Ca, key

pytestmark = pytest.mark.slow

URL = "http://pki.example.org"
HOSTS = ["localhost", "db.example.org", "127.0.0.1", "::1"]


@pytest.fixture(params=[None, URL], ids=["without URL", "with URL"], scope="module")
def public_url(request: pytest.FixtureRequest) -> str | None:
    url: str | None = request.param
    return url


@pytest.mark.parametrize("key_type", KeyType)
def test_no_certificate_of_ours_has_a_finding(key_type: KeyType, public_url: str | None) -> None:
    ca = Ca(TrustDomain(f"prod.{key_type}.internal"), key_type, public_url)
    leaf_key = key(f"leaf {key_type}", key_type)
    kinds = {
        "root": ca.root.certificate,
        "issuing": ca.issuing.certificate,
        "client": ca.leaf("alice", leaf_key=leaf_key),
        "operator": ca.leaf("alice", "operator", leaf_key=leaf_key),
        "server": ca.leaf("web-1", "server", hosts=HOSTS, leaf_key=leaf_key),
    }
    assert {kind: lint_certificate(found) for kind, found in kinds.items()} == {key_0: [] for key_0 in kinds}


@pytest.mark.parametrize("key_type", KeyType)
def test_no_list_of_ours_has_a_finding(key_type: KeyType) -> None:
    ca = Ca(TrustDomain(f"prod.{key_type}.internal"), key_type)
    leaf = ca.leaf("alice")
    lists = {
        "empty": ca.crl(ca.root),
        **{reason: ca.crl(ca.issuing, leaf, reason=reason) for reason in REASONS},
    }
    assert {kind: lint_crl(found) for kind, found in lists.items()} == {key_0: [] for key_0 in lists}


def test_the_linter_would_find_something() -> None:
    leaf = Ca().leaf("alice")
    der = leaf.public_bytes(Encoding.DER)
    # The subject key identifier becomes a second key usage.
    broken = der.replace(bytes.fromhex("0603551d0e"), bytes.fromhex("0603551d0f"), 1)
    assert lint_certificate(x509.load_der_x509_certificate(broken))
