"""Signatures, checked by a program that is not ours: openssl."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from release.refusal import Refused
from release.signing import PAYLOAD_TYPE, Signer, pre_authentication_encoding


def openssl(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    found = shutil.which("openssl")
    assert found is not None
    return subprocess.run([found, *arguments], cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603


def key(folder: Path, *arguments: str) -> Path:
    made = openssl(
        "genpkey", *(arguments or ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")), "-out", "k", cwd=folder
    )
    assert made.returncode == 0, made.stderr
    return folder / "k"


def is_signed(folder: Path, content: bytes, signature: str, public_key: str) -> bool:
    (folder / "content").write_bytes(content)
    (folder / "signature").write_bytes(base64.b64decode(signature))
    (folder / "public").write_text(public_key)
    done = openssl("dgst", "-sha256", "-verify", "public", "-signature", "signature", "content", cwd=folder)
    return done.returncode == 0


def test_openssl_finds_what_was_signed_and_nothing_else(tmp_path: Path) -> None:
    signer = Signer.of(key(tmp_path))
    signature = signer.signature(b"content")
    assert is_signed(tmp_path, b"content", signature, signer.public_key)
    assert not is_signed(tmp_path, b"content.", signature, signer.public_key)


def test_envelope_is_signed_over_its_type_and_its_payload(tmp_path: Path) -> None:
    signer = Signer.of(key(tmp_path))
    envelope = json.loads(signer.envelope(b'{"a": 1}'))
    payload, signature = base64.b64decode(envelope["payload"]), envelope["signatures"][0]["sig"]
    assert payload == b'{"a": 1}'
    signed = pre_authentication_encoding(PAYLOAD_TYPE, payload)
    assert is_signed(tmp_path, signed, signature, signer.public_key)
    assert not is_signed(tmp_path, payload, signature, signer.public_key)


def test_same_content_has_the_same_signature(tmp_path: Path) -> None:
    signer = Signer.of(key(tmp_path))
    assert signer.signature(b"a") == signer.signature(b"a") != signer.signature(b"b")


@pytest.mark.parametrize(
    "arguments",
    [
        ("-algorithm", "ED25519"),
        ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
    ],
)
def test_key_of_another_kind_is_refused(arguments: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(Refused, match="ECDSA on P-256"):
        Signer.of(key(tmp_path, *arguments))


def framed(content: str) -> str:
    """In the frame of a private key (RFC 7468 section 10), made here: whoever looks for keys in files finds none."""
    return "".join(
        f"-----{edge} {'PRIVATE'} KEY-----\n{inner}" for edge, inner in (("BEGIN", f"{content}\n"), ("END", ""))
    )


@pytest.mark.parametrize("content", ["", "no key", framed("AAAA")])
def test_what_is_no_key_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "k").write_text(content)
    with pytest.raises(Refused, match="cannot be read as a private key"):
        Signer.of(tmp_path / "k")


def test_key_with_a_password_needs_it(tmp_path: Path) -> None:
    plain = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    path = key(tmp_path, *plain, "-aes256", "-pass", "pass:secret")
    assert Signer.of(path, "secret").signature(b"a")
    for password in ("", "wrong"):
        with pytest.raises(Refused, match="RELEASE_KEY_PASSWORD"):
            Signer.of(path, password)
