"""Signatures, checked by a program that is not ours: openssl."""

import base64
import hashlib
import json
from pathlib import Path

from release.keys import private_key
from release.signing import PAYLOAD_TYPE, Signer, pre_authentication_encoding
from tests.unit.release.openssl import key, openssl


def a_signer(folder: Path) -> Signer:
    return Signer(private_key(key(folder)))


def is_signed(folder: Path, content: bytes, signature: str, public_key: str) -> bool:
    (folder / "content").write_bytes(content)
    (folder / "signature").write_bytes(base64.b64decode(signature))
    (folder / "public").write_text(public_key)
    done = openssl("dgst", "-sha256", "-verify", "public", "-signature", "signature", "content", cwd=folder)
    return done.returncode == 0


def test_openssl_finds_what_was_signed_and_nothing_else(tmp_path: Path) -> None:
    signer = a_signer(tmp_path)
    signature = signer.signature(b"content")
    assert is_signed(tmp_path, b"content", signature, signer.public_key)
    assert not is_signed(tmp_path, b"content.", signature, signer.public_key)


def test_envelope_is_signed_over_its_type_and_its_payload(tmp_path: Path) -> None:
    signer = a_signer(tmp_path)
    envelope = json.loads(signer.envelope(b'{"a": 1}'))
    payload, signature = base64.b64decode(envelope["payload"]), envelope["signatures"][0]["sig"]
    assert payload == b'{"a": 1}'
    signed = pre_authentication_encoding(PAYLOAD_TYPE, payload)
    assert is_signed(tmp_path, signed, signature, signer.public_key)
    assert not is_signed(tmp_path, payload, signature, signer.public_key)


def test_same_content_has_the_same_signature(tmp_path: Path) -> None:
    signer = a_signer(tmp_path)
    assert signer.signature(b"a") == signer.signature(b"a") != signer.signature(b"b")


def test_bundle_holds_the_same_signature_and_the_digest(tmp_path: Path) -> None:
    signer = a_signer(tmp_path)
    bundle = json.loads(signer.bundle(b"content"))
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    signed = bundle["messageSignature"]
    assert signed["signature"] == signer.signature(b"content")
    assert base64.b64decode(signed["messageDigest"]["digest"]) == hashlib.sha256(b"content").digest()


def test_attestation_holds_the_same_envelope(tmp_path: Path) -> None:
    signer = a_signer(tmp_path)
    assert json.loads(signer.attestation(b"{}"))["dsseEnvelope"] == json.loads(signer.envelope(b"{}"))


def test_hint_and_fingerprint_are_of_the_public_key(tmp_path: Path) -> None:
    signer = a_signer(tmp_path)
    (tmp_path / "release.pub").write_text(signer.public_key)
    assert (
        openssl("pkey", "-pubin", "-in", "release.pub", "-outform", "DER", "-out", "der", cwd=tmp_path).returncode == 0
    )
    hint = json.loads(signer.bundle(b""))["verificationMaterial"]["publicKey"]["hint"]
    assert base64.b64decode(hint) == hashlib.sha256((tmp_path / "der").read_bytes()).digest()
    assert signer.fingerprint == hashlib.sha256((tmp_path / "release.pub").read_bytes()).hexdigest()
