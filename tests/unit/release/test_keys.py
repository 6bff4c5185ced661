"""The key that a release is signed with: what people may hand over instead is refused with the remedy."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from release.keys import private_key
from release.refusal import Refused
from tests.unit.release.openssl import P_256, key, openssl


def refusal(path: Path, password: str = "") -> str:
    with pytest.raises(Refused) as refused:
        private_key(path, password)
    assert str(refused.value).startswith("RELEASE_KEY: ")
    assert str(path) in str(refused.value)
    return str(refused.value)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "k"
    path.touch(mode=0o600)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def framed(content: str, kind: str = "PRIVATE KEY") -> str:
    """In the frame of a key (RFC 7468), made here: whoever looks for keys in files finds none."""
    return "".join(f"-----{edge} {kind}-----\n{inner}" for edge, inner in (("BEGIN", f"{content}\n"), ("END", "")))


@pytest.mark.parametrize(
    "arguments",
    [
        ("-algorithm", "ED25519"),
        ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
    ],
)
def test_key_of_another_kind_is_refused(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert "ECDSA on P-256" in refusal(key(tmp_path, *arguments))


@pytest.mark.parametrize("content", ["", "no key", b"\x00\xff" * 8, framed("AAAA"), framed("AAAA") * 9])
def test_what_is_no_key_is_refused(content: str | bytes, tmp_path: Path) -> None:
    assert "cannot be read as a private key in PEM" in refusal(written(tmp_path, content))


def test_public_key_is_told_from_a_private_one(tmp_path: Path) -> None:
    made = key(tmp_path)
    assert openssl("pkey", "-in", made.name, "-pubout", "-out", "public", cwd=tmp_path).returncode == 0
    public = tmp_path / "public"
    public.chmod(0o600)
    assert "is a public key" in refusal(public)


@pytest.mark.parametrize("kind", ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"])
@pytest.mark.parametrize("password", ["", "secret"])
def test_key_of_cosign_is_known_as_such(kind: str, password: str, tmp_path: Path) -> None:
    assert "cosign's own format" in refusal(written(tmp_path, framed("AAAA", kind)), password)


@pytest.mark.parametrize("password", ["", "secret"])
def test_key_of_ssh_is_known_as_such(password: str, tmp_path: Path) -> None:
    """Whether it has a password does not show."""
    assert "is a key of ssh" in refusal(written(tmp_path, framed("AAAA", "OPENSSH PRIVATE KEY")), password)


def test_key_with_the_line_ends_of_windows_is_read(tmp_path: Path) -> None:
    path = key(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert private_key(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_key_in_another_encoding_is_read_or_refused_and_no_accident(encoding: str, tmp_path: Path) -> None:
    path = key(tmp_path)
    path.write_text(path.read_text(), encoding=encoding)
    if encoding == "utf-16":
        assert "cannot be read as a private key in PEM" in refusal(path)
    else:
        assert private_key(path)


@pytest.mark.parametrize("password", ["secret", " begins and ends with a space ", "no UTF-8: \udcff"])
def test_key_with_a_password_needs_it(password: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(os.fsencode(password))
    path = key(tmp_path, *P_256, "-aes256", "-pass", "file:password")
    assert isinstance(private_key(path, password), ec.EllipticCurvePrivateKey)
    assert "has a password. Set RELEASE_KEY_PASSWORD" in refusal(path)
    assert "with RELEASE_KEY_PASSWORD, which may be wrong" in refusal(path, password + "!")
    assert "with RELEASE_KEY_PASSWORD, which may be wrong" in refusal(path, "x" * 2000)


def test_key_in_the_older_form_is_read_with_and_without_a_password(tmp_path: Path) -> None:
    made = key(tmp_path)
    for name, options in (("plain", ()), ("locked", ("-aes256", "-passout", "pass:secret"))):
        assert openssl("ec", "-in", made.name, *options, "-out", name, cwd=tmp_path).returncode == 0
        assert "EC PRIVATE KEY" in (tmp_path / name).read_text()
    assert (
        private_key(tmp_path / "plain").private_numbers()
        == private_key(tmp_path / "locked", "secret").private_numbers()
    )
    assert "Set RELEASE_KEY_PASSWORD" in refusal(tmp_path / "locked")


def test_key_after_the_parameters_of_its_curve_is_read(tmp_path: Path) -> None:
    assert openssl("ecparam", "-genkey", "-name", "prime256v1", "-out", "k", cwd=tmp_path).returncode == 0
    assert "EC PARAMETERS" in (tmp_path / "k").read_text()
    assert private_key(tmp_path / "k")


def test_password_of_a_key_without_one_is_refused(tmp_path: Path) -> None:
    assert "has no password. Leave RELEASE_KEY_PASSWORD out." in refusal(key(tmp_path), "secret")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601, 0o777])
def test_key_that_others_may_use_is_refused(mode: int, tmp_path: Path) -> None:
    path = key(tmp_path)
    path.chmod(mode)
    (tmp_path / "link").symlink_to(path)
    for given in (path, tmp_path / "link"):
        assert f"(mode {mode:o})" in refusal(given)
        assert f"chmod 600 {given}" in refusal(given)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_key_of_its_owner_alone_is_taken(mode: int, tmp_path: Path) -> None:
    path = key(tmp_path)
    path.chmod(mode)
    assert private_key(path)


def test_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    assert "No such file or directory" in refusal(tmp_path / "nowhere")
    assert "Is a directory" in refusal(tmp_path)
