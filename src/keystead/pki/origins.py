"""Whose a file is that turned up where it does not belong: in words, for the error that refuses it.

Nothing is verified: whoever made the file may have lied. Not here: what is refused, and why.
"""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509

from keystead.errors import KeysteadError
from keystead.pki.certificates import common_name, identity_of, is_ca, load_certificates, trust_domain_of_ca
from keystead.pki.revocation import load_crls


def origin(data: bytes) -> str:
    """What the file is and whose, such as "the certificate of spiffe://…"; empty for what is neither.

    Certificates (the first is named) and revocation lists are told, in PEM or DER.
    """
    try:
        return f"the certificate of {owner(load_certificates(data, '')[0])}"
    except KeysteadError:
        pass
    try:
        return f"the revocation list of {issuer_names(load_crls(data, ''))}"
    except KeysteadError:
        return ""


def owner(certificate: x509.Certificate) -> str:
    """Whom it names: an identity, or a CA with its trust domain; the CN alone where it has neither."""
    try:
        if is_ca(certificate):
            return f"the CA {common_name(certificate)!r} of {trust_domain_of_ca(certificate)}"
        return identity_of(certificate).uri
    except KeysteadError:
        return repr(common_name(certificate))


def issuer_names(crls: Iterable[x509.CertificateRevocationList]) -> str:
    """Who issued the lists, by their names."""
    return ", ".join(f"{crl.issuer.rfc4514_string()!r}" for crl in crls)
