"""Private keys as they are written, read in a millisecond whatever they are. Pure; cryptography and joserfc do the work.

By default cryptography looks whether the primes of an RSA key are prime. That takes a quarter of a second at 4,096 bits, and
four seconds at 8,192, in which nothing else goes on. Here only the arithmetic is checked. A key that passes and is none signs
what no provider accepts.
"""

import re
from binascii import a2b_base64
from typing import Any

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPrivateNumbers, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import base64_to_int

UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RecursionError,
    JoseError,
    InternalError,
    UnsupportedAlgorithm,
)
"""What the libraries raise for a text that is no key of theirs."""

_OPENSSH = "OPENSSH PRIVATE KEY"

_LABELS = {"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", _OPENSSH}

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----([^-]*)-----END \1-----")

_ALGORITHM_WITHIN = 40
"""In the first bytes of PKCS#8 stands the algorithm (RFC 5958 section 2)."""

_DIFFIE_HELLMAN = (bytes.fromhex("2a864886f70d010301"), bytes.fromhex("2a8648ce3e0201"))
"""Two algorithms that sign nothing; to read such a key takes half a second at 10,000 bits."""


class PublicKey(Exception):
    """It is the public half of a key."""


def key_in_pem(text: str) -> RSAKey | ECKey | OKPKey:
    """The private key in a text in PEM.

    Raises:
        PublicKey: it has only a public one.
        UNREADABLE: it has none, one with a password, or one that signs nothing.
    """
    block = _BLOCK.search(text)
    if block is None:
        raise ValueError("no PEM")
    label, content = block.groups()
    if label.endswith("PUBLIC KEY") or label == "CERTIFICATE":
        raise PublicKey
    if label not in _LABELS:
        raise ValueError("no private key")
    if any(each in a2b_base64(content)[:_ALGORITHM_WITHIN] for each in _DIFFIE_HELLMAN):
        raise ValueError("signs nothing")
    load = load_ssh_private_key if label == _OPENSSH else load_pem_private_key
    # The block alone: what stands around it is not looked through for another key.
    return _signing(load(block[0].encode(), None, unsafe_skip_rsa_key_validation=True), text)


def rsa_key_in_jwk(said: Any) -> RSAKey | None:
    """The RSA private key that a JWK is; None for any other JWK.

    Raises:
        UNREADABLE: its numbers are missing, or no such key. Without its primes a key takes half a second to read.
    """
    if not isinstance(said, dict) or said.get("kty") != "RSA" or "d" not in said:
        return None
    RSAKey.validate_dict_key(said)
    number = {name: base64_to_int(said[name]) for name in ("n", "e", "d", "p", "q", "dp", "dq", "qi")}
    numbers = RSAPrivateNumbers(
        p=number["p"],
        q=number["q"],
        d=number["d"],
        dmp1=number["dp"],
        dmq1=number["dq"],
        iqmp=number["qi"],
        public_numbers=RSAPublicNumbers(number["e"], number["n"]),
    )
    _check(numbers)
    return RSAKey(numbers.private_key(unsafe_skip_rsa_key_validation=True), said)


def _signing(key: object, text: str) -> RSAKey | ECKey | OKPKey:
    match key:
        case RSAPrivateKey():
            _check(key.private_numbers())
            return RSAKey(key, text)
        case EllipticCurvePrivateKey():
            return ECKey(key, text)
        case Ed25519PrivateKey() | Ed448PrivateKey():
            return OKPKey(key, text)
        case _:
            raise ValueError("signs nothing")


def _check(numbers: RSAPrivateNumbers) -> None:
    """Check that the numbers of an RSA key belong together (RFC 8017 section 3.2), but not that its primes are prime.

    Raises:
        ValueError: they do not.
    """
    p, q, d, e = numbers.p, numbers.q, numbers.d, numbers.public_numbers.e
    if not (
        min(p, q) > 2
        and p % 2 == q % 2 == e % 2 == 1
        and p * q == numbers.public_numbers.n
        and e * d % (p - 1) == e * d % (q - 1) == 1
        and numbers.dmp1 == d % (p - 1)
        and numbers.dmq1 == d % (q - 1)
        and numbers.iqmp * q % p == 1
    ):
        raise ValueError("its numbers do not belong together")
