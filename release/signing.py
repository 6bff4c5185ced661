"""Signatures that anybody can check without us, with cosign or openssl: ECDSA on P-256 with SHA-256."""

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


class Signer:
    """Holds the private key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @property
    def public_key(self) -> str:
        """As PEM."""
        public = self._key.public_key()
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        return public.public_bytes(serialization.Encoding.PEM, info).decode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the file with the public key: `sha256sum release.pub` prints it."""
        return hashlib.sha256(self.public_key.encode()).hexdigest()

    def signature(self, content: bytes) -> str:
        """Base64 of the DER. Deterministic (RFC 6979): the same content has the same one."""
        signed = self._key.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return base64.b64encode(signed).decode()

    def bundle(self, content: bytes) -> str:
        """The same signature in a Sigstore bundle: the one form that cosign reads in all versions to come."""
        digest = {"algorithm": "SHA2_256", "digest": base64.b64encode(hashlib.sha256(content).digest()).decode()}
        return self._bundle({"messageSignature": {"messageDigest": digest, "signature": self.signature(content)}})

    def envelope(self, statement: bytes) -> str:
        """A statement in a DSSE envelope, on one line."""
        return json.dumps(self._envelope(statement)) + "\n"

    def attestation(self, statement: bytes) -> str:
        """The same envelope in a Sigstore bundle, as `cosign verify-blob-attestation` reads it."""
        return self._bundle({"dsseEnvelope": self._envelope(statement)})

    def _envelope(self, statement: bytes) -> dict[str, Any]:
        return {
            "payloadType": PAYLOAD_TYPE,
            "payload": base64.b64encode(statement).decode(),
            "signatures": [{"sig": self.signature(pre_authentication_encoding(PAYLOAD_TYPE, statement))}],
        }

    def _bundle(self, content: dict[str, Any]) -> str:
        """Without an entry in a transparency log: nothing is uploaded, and whoever checks has the key."""
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        der = self._key.public_key().public_bytes(serialization.Encoding.DER, info)
        hint = base64.b64encode(hashlib.sha256(der).digest()).decode()
        return (
            json.dumps({"mediaType": BUNDLE_TYPE, "verificationMaterial": {"publicKey": {"hint": hint}}} | content)
            + "\n"
        )


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """What is signed of an envelope (DSSE, protocol version 1).

    >>> pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
