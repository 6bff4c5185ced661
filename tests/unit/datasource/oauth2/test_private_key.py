"""Private keys of any kind and size are read or refused at once."""

import json
import secrets
from base64 import encodebytes, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from datasource.oauth2.client_assertion import UnusableKey, signing_key
from datasource.oauth2.private_key import UNREADABLE, PublicKey, key_in_pem, rsa_key_in_jwk

Format = serialization.PrivateFormat


def pem(key: Any, how: serialization.PrivateFormat = Format.PKCS8) -> str:
    text: bytes = key.private_bytes(serialization.Encoding.PEM, how, serialization.NoEncryption())
    return text.decode()


RSA = rsa.generate_private_key(65537, 2048)
JWK: dict[str, Any] = dict(RSAKey.import_key(pem(RSA)).as_dict(private=True))


def der(tag: int, content: bytes) -> bytes:
    length = len(content)
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (bytes([length]) if length < 128 else bytes([0x80 | len(size)]) + size) + content


def number(value: int) -> bytes:
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def edge(word: str, label: str = "PRIVATE KEY") -> str:
    """A line around a block of PEM, put together here: no tracked file looks as if it held a key."""
    return f"-----{word} {label}-----"


def block(label: str, content: bytes) -> str:
    return f"{edge('BEGIN', label)}\n{encodebytes(content).decode()}{edge('END', label)}\n"


def random_of(bits: int) -> int:
    return secrets.randbits(bits) | 1 << (bits - 1) | 1


def numbers_of_an_rsa_key(p: int, q: int) -> dict[str, int]:
    """Those that belong together, whether p and q are prime or not; they share no factor with e, nor with each other."""
    e = 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    return {
        "n": p * q,
        "e": e,
        "d": d,
        "p": p,
        "q": q,
        "dp": d % (p - 1),
        "dq": d % (q - 1),
        "qi": pow(q, -1, p),
    }


def composite_rsa(bits: int) -> dict[str, int]:
    while True:
        try:
            return numbers_of_an_rsa_key(random_of(bits // 2), random_of(bits // 2))
        except ValueError:
            continue


def rsa_pem(numbers: dict[str, int]) -> str:
    fields = b"".join(number(numbers[name]) for name in ("n", "e", "d", "p", "q", "dp", "dq", "qi"))
    return block("RSA PRIVATE KEY", der(0x30, number(0) + fields))


def rsa_jwk(numbers: dict[str, int]) -> str:
    def text(value: int) -> str:
        return urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()

    return json.dumps({"kty": "RSA"} | {name: text(value) for name, value in numbers.items()})


def diffie_hellman(bits: int, algorithm: str) -> str:
    parameters = der(0x30, number(random_of(bits)) + number(2))
    kind = der(0x30, bytes.fromhex(algorithm) + parameters)
    return block("PRIVATE KEY", der(0x30, number(0) + kind + der(4, number(random_of(bits - 2)))))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(rsa_pem(composite_rsa(8192)), id="of 8,192 bits"),
        pytest.param(rsa_pem(composite_rsa(16384)), id="of 16,384 bits"),
        pytest.param(rsa_jwk(composite_rsa(16384)), id="of 16,384 bits as a JWK"),
    ],
)
def test_rsa_key_that_takes_long_to_use_is_refused_before_its_primes_are_looked_at(text: str) -> None:
    """Their primes are none: where they are looked at, it is no key."""
    with pytest.raises(UnusableKey, match="more than 4096 bits"):
        signing_key(text)


@pytest.mark.parametrize("written", [rsa_pem, rsa_jwk])
def test_primes_of_the_largest_key_are_not_looked_at(written: Callable[[dict[str, int]], str]) -> None:
    assert signing_key(written(composite_rsa(4096))).algorithm == "RS256"


def test_primes_that_a_key_does_not_have_are_not_looked_for() -> None:
    with pytest.raises(KeyError):
        rsa_key_in_jwk({name: JWK[name] for name in ("kty", "n", "e", "d")})


@pytest.mark.parametrize("algorithm", ["06092a864886f70d010301", "06072a8648ce3e0201"])
@pytest.mark.parametrize("bits", [512, 10_000, 30_000])
def test_key_for_diffie_hellman_is_refused_before_it_is_looked_at(bits: int, algorithm: str) -> None:
    """OpenSSL takes half a second for one of 10,000 bits, and gives up a larger one with an error of its own."""
    text = diffie_hellman(bits, algorithm)
    with pytest.raises(ValueError, match="signs nothing"):
        key_in_pem(text)
    with pytest.raises(UnusableKey):
        signing_key(text)


@pytest.mark.parametrize("key", [RSA, ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()])
def test_key_is_the_one_that_was_written(key: Any) -> None:
    for how in (Format.PKCS8, Format.OpenSSH):
        read = key_in_pem("Bag Attributes: none\n" + pem(key, how))
        assert read.private_key is not None
        assert pem(read.private_key) == pem(key)


def test_rsa_key_of_a_jwk_is_the_one_that_was_written() -> None:
    read = rsa_key_in_jwk(JWK)
    assert read is not None
    assert pem(read.private_key) == pem(RSA)


@pytest.mark.parametrize(
    "said", [[], "RSA", {"kty": "EC", "d": "x"}, {name: JWK[name] for name in ("kty", "n", "e")}, {"d": "x"}]
)
def test_what_is_no_rsa_private_key_is_for_others_to_read(said: object) -> None:
    assert rsa_key_in_jwk(said) is None


@pytest.mark.parametrize("name", ["n", "e", "d", "p", "q", "dp", "dq", "qi"])
@pytest.mark.parametrize("change", [lambda value: value + 2, lambda value: value * 2, lambda _: 1, lambda _: 0])
def test_numbers_that_do_not_belong_together_are_no_key(name: str, change: Callable[[int], int]) -> None:
    numbers = numbers_of_an_rsa_key(RSA.private_numbers().p, RSA.private_numbers().q)
    changed = numbers | {name: change(numbers[name])}
    for text in (rsa_pem(changed), rsa_jwk(changed)):
        with pytest.raises(UnusableKey):
            signing_key(text)


def test_key_of_more_than_two_primes_is_none_that_is_read() -> None:
    with pytest.raises(JoseError):
        rsa_key_in_jwk(JWK | {"oth": [{"r": "AQAB", "d": "AQAB", "t": "AQAB"}]})


@pytest.mark.parametrize(
    "text",
    [
        pem(dsa.generate_private_key(2048)),
        pem(dsa.generate_private_key(2048), Format.TraditionalOpenSSL),
        block("PRIVATE KEY", b"nothing"),
        f"{edge('BEGIN')}\n!\n{edge('END')}",
        edge("BEGIN") * 1_000,
        # An EC key on a curve that cryptography does not know (prime239v1).
        block("PRIVATE KEY", bytes.fromhex("3021020100301306072a8648ce3d020106082a8648ce3d030104040730050201010400")),
    ],
)
def test_what_signs_nothing_is_unreadable(text: str) -> None:
    with pytest.raises(UNREADABLE):
        key_in_pem(text)
    with pytest.raises(UnusableKey):
        signing_key(text)


@pytest.mark.parametrize("label", ["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"])
def test_public_half_is_told_apart(label: str) -> None:
    with pytest.raises(PublicKey):
        key_in_pem(block(label, b"anything"))


def test_curve_that_signs_no_assertion_is_read() -> None:
    assert key_in_pem(pem(ed448.Ed448PrivateKey.generate())).as_dict(private=False)["crv"] == "Ed448"
