"""Signatures that anybody can check without us, with cosign or openssl: ECDSA on P-256 with SHA-256."""

import base64
import json
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from release.refusal import Refused

PAYLOAD_TYPE = "application/vnd.in-toto+json"


class Signer:
    """Holds the private key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def of(cls, path: Path, password: str = "") -> "Signer":
        """Read the key.

        Raises:
            Refused: it is none, it is of another kind, or the password is not the right one.
        """
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password.encode() or None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise Refused(
                f"RELEASE_KEY: {path} cannot be read as a private key in PEM; one with a password needs "
                f"RELEASE_KEY_PASSWORD. ({error})"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise Refused(f"RELEASE_KEY: {path} must be a key for ECDSA on P-256.")
        return cls(key)

    @property
    def public_key(self) -> str:
        """As PEM."""
        public = self._key.public_key()
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        return public.public_bytes(serialization.Encoding.PEM, info).decode()

    def signature(self, content: bytes) -> str:
        """Base64 of the DER. Deterministic (RFC 6979): the same content has the same one."""
        signed = self._key.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return base64.b64encode(signed).decode()

    def envelope(self, statement: bytes) -> str:
        """A statement in a DSSE envelope, as `cosign verify-blob-attestation` reads it."""
        envelope = {
            "payloadType": PAYLOAD_TYPE,
            "payload": base64.b64encode(statement).decode(),
            "signatures": [{"sig": self.signature(pre_authentication_encoding(PAYLOAD_TYPE, statement))}],
        }
        return json.dumps(envelope) + "\n"


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """What is signed of an envelope (DSSE, protocol version 1).

    >>> pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
