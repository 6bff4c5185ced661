"""I/O: the private key that a release is signed with, from a file that nobody else can read."""

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from release.refusal import Refused

_LONGEST = 64 * 1024
"""Bytes. A key has some 240."""


def private_key(path: Path, password: str = "") -> ec.EllipticCurvePrivateKey:
    """Read the key.

    Raises:
        Refused: others can read it, it is none, it is of another kind, or the password is not the right one.
    """
    content = _content(path)
    _refuse_known_mistakes(path, content, has_password=bool(password))
    try:
        key = serialization.load_pem_private_key(content, os.fsencode(password) or None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        wrong = "with RELEASE_KEY_PASSWORD, which may be wrong" if password else "as a private key in PEM"
        raise Refused(f"RELEASE_KEY: {path} cannot be read {wrong}. ({error})") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Refused(f"RELEASE_KEY: {path} must be a key for ECDSA on P-256.")
    return key


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # Of what was opened: another file cannot come between.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise Refused(
                    f"RELEASE_KEY: other accounts may use {path} (mode {mode:03o}). An account that reads it can sign as you. "
                    f"Type: chmod 600 {path}. If another account may have read it, make a new key."
                )
            return file.read(_LONGEST)
    except OSError as error:
        raise Refused(f"RELEASE_KEY: {path} cannot be opened: {error.strerror}.") from error


def _refuse_known_mistakes(path: Path, content: bytes, *, has_password: bool) -> None:
    """What people hand over instead, each with its remedy; cryptography's own words name none."""
    if b"ENCRYPTED SIGSTORE PRIVATE KEY" in content or b"ENCRYPTED COSIGN PRIVATE KEY" in content:
        raise Refused(
            f"RELEASE_KEY: {path} is a key in cosign's own format, which cosign alone reads. Make one with openssl genpkey "
            "(docs/release.md); cosign checks its signatures, too."
        )
    if b"BEGIN OPENSSH PRIVATE KEY" in content:
        raise Refused(f"RELEASE_KEY: {path} is a key of ssh. Make one with openssl genpkey (docs/release.md).")
    if b"-----BEGIN PUBLIC KEY-----" in content:
        raise Refused(f"RELEASE_KEY: {path} is a public key. The private one signs.")
    is_encrypted = b"BEGIN ENCRYPTED PRIVATE KEY" in content or b"Proc-Type: 4,ENCRYPTED" in content
    if is_encrypted and not has_password:
        raise Refused(f"RELEASE_KEY: {path} has a password. Set RELEASE_KEY_PASSWORD.")
    if has_password and not is_encrypted and b"PRIVATE KEY-----" in content:
        raise Refused(f"RELEASE_KEY: {path} has no password. Leave RELEASE_KEY_PASSWORD out.")
