"""The certificate signing request (RFC 2986): making one, and reading what a stranger sent.

Not here: whether it is granted (`policy`). What `parse` gives back is parsed, not yet checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from keystead.errors import BadInput
from keystead.pki.fingerprints import Fingerprint
from keystead.pki.keys import PrivateKey, digest_for
from keystead.pki.names import MAX_SANS, HostNames
from keystead.pki.renewal import PROOF_OID, RenewalProof, decode
from keystead.pki.text import as_text

E = TypeVar("E", bound=x509.ExtensionType)

MAX_CSR_OCTETS = 64 * 1024
"""A CSR with an RSA key of 8192 bits and a hundred names has about 8 KiB."""

_ADOPTED = frozenset(
    {
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.BASIC_CONSTRAINTS,
        # The CA sets these itself, and nobody who asked for them misses anything.
        ExtensionOID.KEY_USAGE,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    }
)


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A parsed CSR: what it asks for, nothing of which is granted yet.

    ``left_out`` names the parts that no certificate of ours will carry; ``bad_host_names`` those of its
    SANs that are no names at all. ``proves_possession`` says whether the key it holds signed it.
    """

    der: bytes
    public_key: PublicKeyTypes
    key_fingerprint: Fingerprint
    proves_possession: bool
    common_name: str | None
    host_names: HostNames
    bad_host_names: tuple[str, ...]
    uris: tuple[str, ...]
    purposes: frozenset[x509.ObjectIdentifier]
    wants_ca: bool
    left_out: tuple[str, ...]
    proof: RenewalProof | None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the whole CSR, as hex: what makes it "the same CSR again"."""
        return sha256(self.der).hexdigest()

    @property
    def wants_server(self) -> bool:
        """Whether it asks to authenticate a server."""
        return ExtendedKeyUsageOID.SERVER_AUTH in self.purposes


def build(
    key: PrivateKey,
    *,
    common_name: str,
    purposes: Iterable[x509.ObjectIdentifier],
    host_names: HostNames | None = None,
    proof: RenewalProof | None = None,
) -> x509.CertificateSigningRequest:
    """A CSR for ``key``, signed with it."""
    builder = x509.CertificateSigningRequestBuilder()
    builder = builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
    if wanted := list(purposes):  # an empty list cannot be encoded: RFC 5280, section 4.2.1.12
        builder = builder.add_extension(x509.ExtendedKeyUsage(wanted), critical=False)
    if host_names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(general_names(host_names)), critical=False
        )
    if proof is not None:
        builder = builder.add_attribute(PROOF_OID, proof.encode())
    return builder.sign(key, digest_for(key))


def general_names(host_names: HostNames) -> list[x509.GeneralName]:
    """The host names as X.509 holds them (RFC 5280, section 4.2.1.6)."""
    return [*map(x509.DNSName, host_names.dns), *map(x509.IPAddress, host_names.ips)]


def parse(data: bytes, source: str) -> CertificateRequest:
    """What the CSR in ``data``, PEM or DER, asks for; ``source`` names it in errors.

    Raises `BadInput` for whatever is not a CSR that can be read whole.
    """
    if len(data) > MAX_CSR_OCTETS:
        raise _unreadable(source, f"it has {len(data)} bytes; at most {MAX_CSR_OCTETS} are read")
    try:
        csr = _load(as_text(data))
        return _read(csr)
    except BadInput as error:
        raise _unreadable(source, error.what) from None
    except Exception:  # noqa: BLE001  the parser's errors are of many types; none may reach a user
        raise _unreadable(source, _why(data)) from None


def _load(data: bytes) -> x509.CertificateSigningRequest:
    if b"-----BEGIN" in data:
        return x509.load_pem_x509_csr(data)
    return x509.load_der_x509_csr(data)


def _read(csr: x509.CertificateSigningRequest) -> CertificateRequest:
    public_key = csr.public_key()
    extensions = csr.extensions
    san = _found(extensions, x509.SubjectAlternativeName)
    host_names, bad = _host_names(san)
    subject = csr.subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return CertificateRequest(
        der=csr.public_bytes(Encoding.DER),
        public_key=public_key,
        key_fingerprint=Fingerprint.of_key(public_key),
        proves_possession=_is_self_signed(csr, public_key),
        common_name=str(names[0].value) if len(names) == 1 else None,
        host_names=host_names,
        bad_host_names=bad,
        uris=tuple(san.get_values_for_type(x509.UniformResourceIdentifier)) if san else (),
        purposes=_purposes(extensions),
        wants_ca=_wants_ca(extensions),
        left_out=_left_out(subject, extensions, san),
        proof=_proof(csr),
    )


def _is_self_signed(csr: x509.CertificateSigningRequest, public_key: PublicKeyTypes) -> bool:
    try:
        scheme = csr.signature_algorithm_parameters
        if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(scheme, ec.ECDSA):
            return csr.is_signature_valid
        # The same for the common key, without parsing it a second time: a sixth of the whole.
        public_key.verify(csr.signature, csr.tbs_certrequest_bytes, scheme)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _found(extensions: x509.Extensions, kind: type[E]) -> E | None:
    # Not by get_extension_for_class: most CSRs have none of these, and its exception costs more than to look.
    return next((found.value for found in extensions if isinstance(found.value, kind)), None)


def _host_names(san: x509.SubjectAlternativeName | None) -> tuple[HostNames, tuple[str, ...]]:
    if san is None:
        return HostNames(), ()
    texts = [*san.get_values_for_type(x509.DNSName), *map(str, san.get_values_for_type(x509.IPAddress))]
    if len(texts) > MAX_SANS:
        raise BadInput(f"it asks for {len(texts)} host names; at most {MAX_SANS} are read")
    good, bad = [], []
    for text in texts:
        try:
            HostNames.of([text])
        except BadInput:
            bad.append(text)
        else:
            good.append(text)
    return HostNames.of(good), tuple(bad)


def _purposes(extensions: x509.Extensions) -> frozenset[x509.ObjectIdentifier]:
    return frozenset(_found(extensions, x509.ExtendedKeyUsage) or ())


def _wants_ca(extensions: x509.Extensions) -> bool:
    constraints = _found(extensions, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _left_out(
    subject: x509.Name, extensions: x509.Extensions, san: x509.SubjectAlternativeName | None
) -> tuple[str, ...]:
    fields = [
        f"{attribute.rfc4514_attribute_name}={attribute.value!s}"
        for attribute in subject
        if attribute.oid != NameOID.COMMON_NAME
    ]
    others = [
        f"extension {_oid_text(extension.oid)}" for extension in extensions if extension.oid not in _ADOPTED
    ]
    kept = (x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier)
    names = [f"SAN {type(name).__name__}" for name in san or () if not isinstance(name, kept)]
    return tuple(dict.fromkeys([*fields, *others, *names]))


def _oid_text(oid: x509.ObjectIdentifier) -> str:
    # cryptography names the OIDs that it knows only through a private attribute.
    name: str = getattr(oid, "_name", "Unknown OID")
    return oid.dotted_string if name == "Unknown OID" else name


def _proof(csr: x509.CertificateSigningRequest) -> RenewalProof | None:
    try:
        return decode(csr.attributes.get_attribute_for_oid(PROOF_OID).value)
    except x509.AttributeNotFound:
        return None


def _why(data: bytes) -> str:
    # Here for start-up time: whoever makes a CSR reads no certificates.
    from keystead.pki.origins import origin  # noqa: PLC0415  see above

    if not data.strip():
        return "it is empty"
    if found := origin(data):
        return f"it is {found}; a CSR begins with -----BEGIN CERTIFICATE REQUEST-----"
    if b"BEGIN CERTIFICATE-----" in data:
        return "it is a certificate; a CSR begins with -----BEGIN CERTIFICATE REQUEST-----"
    return "it is damaged, or no CSR in PEM or DER"


def _unreadable(source: str, why: str) -> BadInput:
    return BadInput(
        f"{source} is not a CSR that can be read",
        why=why,
        mend="make one on the subscriber's machine: keystead csr NAME",
        code="bad-csr",
    )
