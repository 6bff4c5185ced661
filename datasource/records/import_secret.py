"""The Secret `<name>-oauth2-import`, which brings an existing refresh token to a Datasource. Pure.

It is for people who come from another tool. The operator takes the token over, tries it once, and deletes the Secret.
"""

import hashlib
import re

import msgspec

from datasource.api.names import IMPORT_SUFFIX
from datasource.api.objects import Metadata, OwnerReference, Secret, telling_owners
from datasource.oauth2.reply_members import LONGEST_TOKEN, refresh_token_of

KEY = "refresh_token"
"""The key of its data."""

_HASH = re.compile("[0-9a-f]{64}")

_BYTE_ORDER_MARK = "\ufeff"


class UnusableImport(Exception):
    """What is wrong with an import, and what to do about it. It never shows any part of the token."""


class ImportedFrom(msgspec.Struct, frozen=True):
    """Which refresh token of which Secret was imported. To import the same token again, another Secret is needed."""

    token_hash: str
    """SHA-256 (hex)."""
    uid: str
    """Of the Secret."""

    def encode(self) -> str:
        """The value of the `datasource.dev/imported` annotation."""
        return f"{self.token_hash} {self.uid}"

    @classmethod
    def decode(cls, text: str) -> "ImportedFrom":
        """Read what `encode` wrote.

        Raises:
            ValueError: the annotation was altered.
        """
        token_hash, _, uid = text.partition(" ")
        if not _HASH.fullmatch(token_hash) or not uid:
            raise ValueError("not a hash and a uid")
        return cls(token_hash, uid)


class ImportSecret(msgspec.Struct, frozen=True):
    """An import Secret by its metadata: what the operator keeps of it in memory."""

    uid: str
    resource_version: str
    owners: tuple[OwnerReference, ...] = ()
    is_leaving: bool = False
    """Whether it was deleted, and finalizers hold it."""


def import_secret_in(metadata: Metadata) -> ImportSecret:
    """What we need from the metadata of an import Secret."""
    is_leaving = metadata.deletion_timestamp is not None
    return ImportSecret(metadata.uid, metadata.resource_version, telling_owners(metadata.owner_references), is_leaving)


def datasource_of_import(secret_name: str) -> str | None:
    """The Datasource that an import Secret of that name is for; None: it is no such name."""
    name = secret_name.removesuffix(IMPORT_SUFFIX)
    return name if name and name != secret_name else None


def imported_hash(refresh_token: str) -> str:
    """The hash by which an imported refresh token is recognized."""
    return hashlib.sha256(refresh_token.encode()).hexdigest()


def refresh_token_in(secret: Secret) -> str:
    """The refresh token in an import Secret.

    Raises:
        UnusableImport: it has none, or one that cannot be a refresh token.
    """
    try:
        text = secret.value(KEY)
    except ValueError:
        raise UnusableImport(f"Its key {KEY} is not text in UTF-8. {_REMEDY}") from None
    if text is None:
        raise UnusableImport(f"It has no key {KEY} in its data. {_REMEDY}")
    return imported_token(text)


_REMEDY = "Store the refresh token there, and nothing else."


def imported_token(text: str) -> str:
    """A refresh token as a person typed or piped it, without line ends after it.

    Raises:
        UnusableImport: it cannot be a refresh token.
    """
    token = text.rstrip("\r\n")
    problem = _problem(token)
    if problem is not None:
        raise UnusableImport(f"The refresh token {problem}. {_REMEDY}")
    return token


def _problem(token: str) -> str | None:
    if not token.strip():
        return "is empty"
    if len(token.encode()) > LONGEST_TOKEN:
        return f"is longer than {LONGEST_TOKEN:,} bytes"
    if token.startswith(_BYTE_ORDER_MARK):
        return "begins with a byte order mark, as some editors write it"
    if "\n" in token or "\r" in token:
        return "has more than one line"
    if token != token.strip():
        return "begins or ends with a space"
    if token[0] in "{[" or token[0] == token[-1] == '"':
        return "is JSON: of a whole token response, take the value of refresh_token, without the quotes"
    if refresh_token_of(token) is None:
        return "has characters that no refresh token has"
    return None
