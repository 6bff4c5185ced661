"""Keys and certificates of a control plane, made when it starts and thrown away with it."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=30)
_CLOCK_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class Pki:
    """Files, all PEM: the CA's certificate, the server's certificate and key, the key that signs service account tokens.

    The client's certificate and key are what the API server shows to kubelets.
    """

    ca: Path
    server_certificate: Path
    server_key: Path
    service_account_key: Path
    client_certificate: Path
    client_key: Path


def make_pki(folder: Path, *, now: datetime.datetime, addresses: Sequence[str] = ("127.0.0.1",)) -> Pki:
    """Make fresh keys in `folder`; `now` has a time zone, `addresses` are those of the API server."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = ("ca.crt", "apiserver.crt", "apiserver.key", "service-account.key", "client.crt", "client.key")
    pki = Pki(*(folder / name for name in names))
    ca_key, server_key, service_account_key, client_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(4))
    pki.ca.write_bytes(_pem(_ca_certificate(ca_key, now)))
    pki.server_certificate.write_bytes(_pem(_server_certificate(ca_key, server_key, now, addresses)))
    pki.client_certificate.write_bytes(_pem(_client_certificate(ca_key, client_key, now)))
    _write_key(pki.server_key, server_key)
    _write_key(pki.service_account_key, service_account_key)
    _write_key(pki.client_key, client_key)
    return pki


def _ca_certificate(key: ec.EllipticCurvePrivateKey, now: datetime.datetime) -> x509.Certificate:
    return (
        _certificate(_CA_NAME, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server_certificate(
    ca_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    addresses: Sequence[str],
) -> x509.Certificate:
    names = [
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
        x509.DNSName("localhost"),
        x509.DNSName("kubernetes.default.svc"),
    ]
    return (
        _leaf(_name("kube-apiserver"), key, now, ExtendedKeyUsageOID.SERVER_AUTH)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        # Python 3.13 and later verify strictly: a certificate must name the key that signed it.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _client_certificate(
    ca_key: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePrivateKey, now: datetime.datetime
) -> x509.Certificate:
    # kubelet asks the API server what this group may do: everything.
    group = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters")
    subject = x509.Name([group, x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver-kubelet-client")])
    return (
        _leaf(subject, key, now, ExtendedKeyUsageOID.CLIENT_AUTH)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _leaf(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime.datetime, usage: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    return (
        _certificate(subject, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    )


def _certificate(
    subject: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=_CA_NAME,
        subject_name=subject,
        public_key=public_key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - _CLOCK_SKEW,
        not_valid_after=now + _LIFETIME,
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


_CA_NAME = _name("local control plane")


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    # SEC 1, not PKCS 8: kube-apiserver reads the public half out of that form only.
    form = serialization.PrivateFormat.TraditionalOpenSSL
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
