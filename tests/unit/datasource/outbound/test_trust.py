"""CA bundles: what is one, and what is told about what is none."""

import ssl

import pytest

from datasource.outbound.trust import (
    LARGEST_BUNDLE,
    UnusableBundle,
    add_bundle,
    check_bundle,
    leave_out_costly_ciphers,
)
from tests.support.hostile_provider import self_signed


def authorities(context: ssl.SSLContext) -> int:
    return context.cert_store_stats()["x509_ca"]


def test_every_certificate_of_a_bundle_is_trusted() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    add_bundle(context, f"# für uns\n{self_signed().certificate}\n{self_signed('b.example').certificate}")
    assert authorities(context) == 2


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "not a certificate",
        "zertifikat für alle",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        self_signed().certificate[:300],
        self_signed().certificate + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
    ids=["empty", "text", "text beyond ASCII", "no certificate inside", "cut off", "the second is broken"],
)
def test_what_is_no_list_of_certificates_is_refused(pem: str) -> None:
    with pytest.raises(UnusableBundle, match="is not a list of certificates in PEM"):
        check_bundle(pem)


def test_private_key_is_refused_and_not_repeated() -> None:
    certificate = self_signed()
    with pytest.raises(UnusableBundle, match="holds a private key") as caught:
        check_bundle(certificate.certificate + certificate.key)
    assert certificate.key[40:60] not in str(caught.value)


def test_bundle_has_an_end() -> None:
    certificate = self_signed().certificate
    check_bundle(certificate + "\n" * (LARGEST_BUNDLE - len(certificate)))
    with pytest.raises(UnusableBundle, match="is longer than 65536 characters"):
        check_bundle(certificate + "\n" * LARGEST_BUNDLE)


def test_costly_ciphers_alone_are_left_out() -> None:
    context = ssl.create_default_context()
    before = [cipher["name"] for cipher in context.get_ciphers()]
    leave_out_costly_ciphers(context)
    after = [cipher["name"] for cipher in context.get_ciphers()]
    assert after == [name for name in before if not name.startswith("DHE-")] != before
