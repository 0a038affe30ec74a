"""pkilint in this process: a process of its own takes half a second a certificate."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pkilint import loader, pkix
from pkilint.pkix import certificate, crl, extension, name
from pkilint.validation import ValidationFindingSeverity

KNOWN = {
    # Its check of URIs knows the schemes of the web alone.
    "pkix.invalid_uri_syntax": r'"spiffe://[a-z0-9./-]+"',
    # It wants a dot in a DNS name; RFC 1034, section 3.5 (by RFC 5280, section 4.2.1.6) does not.
    "pkix.invalid_domain_name_syntax": r'"[a-z0-9-]+"',
}
"""Findings that are pkilint's mistake: its code, and what its message must speak of."""


def lint_certificate(found: x509.Certificate) -> list[str]:
    """The findings of WARNING and above, as ``code at path``; but for those that are `KNOWN`."""
    read = loader.RFC5280CertificateDocumentLoader().load_der_document(
        found.public_bytes(Encoding.DER), "certificate"
    )
    return _findings(_certificate_linter().validate(read.root))


def lint_crl(found: x509.CertificateRevocationList) -> list[str]:
    """The same of a revocation list."""
    read = loader.RFC5280CertificateListDocumentLoader().load_der_document(
        found.public_bytes(Encoding.DER), "CRL"
    )
    return _findings(_crl_linter().validate(read.root))


def _findings(results: Any) -> list[str]:
    return [
        f"{each.finding.code} at {result.node.path}: {each.message or ''}"
        for result in results
        for each in result.finding_descriptions
        if each.finding.severity <= ValidationFindingSeverity.WARNING  # the worst is the lowest
        and not _is_known(each.finding.code, f"{each.message}")
    ]


def _is_known(code: str, message: str) -> bool:
    return code in KNOWN and re.search(KNOWN[code], message) is not None


@cache
def _certificate_linter() -> Any:
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


@cache
def _crl_linter() -> Any:
    return crl.create_pkix_crl_validator_container(
        [
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [
            crl.create_issuer_validator_container([]),
            crl.create_validity_validator_container([]),
            crl.create_extensions_validator_container([]),
        ],
    )
