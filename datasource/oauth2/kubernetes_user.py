"""Who somebody is to the cluster: the claims of an id_token as kube-apiserver's --oidc flags read them, and more strictly.

The claims are those of an id_token whose signature, issuer, audience and times were checked. The cluster is asked what the
resulting user may do. So the result must mean one thing only. It has no name and no group of the cluster's own, no text that
looks like another on a page, and never only a part of a person's groups.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import Any

import msgspec

from datasource.oauth2.alphabets import looks_like_others

LONGEST_NAME = 1024
"""Characters of a name or a group, prefix included."""

MOST_GROUPS = 500

MOST_IN_GROUPS = 32_768
"""Characters of all groups together: they stand in each session and go with each question to the API server."""

EVERYBODY = "system:authenticated"
"""The group of everybody whom the cluster knows."""

_OF_THE_CLUSTER = "system:"

_NOT_SEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Printable to Python, and nothing on a page (Default_Ignorable_Code_Point, and the empty Braille)."""

_LOST = "\ufffd"
"""What stands for half a character, whichever it was: two people would have one name."""


class Why(Enum):
    """Why nobody is signed in."""

    NO_NAME = auto()
    """The claim is missing, empty, or no text."""
    NAME_UNUSABLE = auto()
    """Too long, or with characters that are not seen, or that look as others do."""
    NAME_OF_THE_CLUSTER = auto()
    EMAIL_NOT_VERIFIED = auto()
    OTHER_AUDIENCES = auto()
    GROUPS_ELSEWHERE = auto()
    """They are so many that the issuer left them out and says where to ask (OIDC Core section 5.6.2)."""
    GROUPS_UNUSABLE = auto()
    """No list of texts, or one that is empty, too long, or with characters that are not seen."""
    TOO_MANY_GROUPS = auto()


class NobodyKnown(Exception):
    """The claims make no user of the cluster. Safe to show: no claim's value stands in it."""

    def __init__(self, why: Why, claim: str) -> None:
        super().__init__(f"{why.name}: {claim}")
        self.why = why
        self.claim = claim


class ClaimMapping(msgspec.Struct, frozen=True):
    """Which claims say it, and what is put before them."""

    username_claim: str = "sub"
    username_prefix: str = ""
    groups_claim: str = ""
    """Empty: nobody is in a group."""
    groups_prefix: str = ""


class User(msgspec.Struct, frozen=True):
    """A user as RBAC names one."""

    name: str
    groups: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"User({self.name!r}, {len(self.groups)} groups)"


def is_of_the_cluster(user: User) -> bool:
    """Whether somebody is called what nobody is called who signed in: a name or a group of the cluster's own."""
    return any(each.startswith(_OF_THE_CLUSTER) and each != EVERYBODY for each in (user.name, *user.groups))


def user_of(claims: Mapping[str, Any], mapping: ClaimMapping, *, client_id: str) -> User:
    """The user whom verified claims name.

    Raises:
        NobodyKnown: they name none who may sign in.
    """
    _require_no_other_audience(claims, client_id)
    return User(_name(claims, mapping), (*_groups(claims, mapping), EVERYBODY))


def _require_no_other_audience(claims: Mapping[str, Any], client_id: str) -> None:
    """An id_token that is for others, too, may have come from one of them."""
    audience = claims.get("aud")
    if audience != client_id and not (
        isinstance(audience, list) and audience and all(each == client_id for each in audience)
    ):
        raise NobodyKnown(Why.OTHER_AUDIENCES, "aud")


def _name(claims: Mapping[str, Any], mapping: ClaimMapping) -> str:
    claim = mapping.username_claim
    value = claims.get(claim)
    if not isinstance(value, str) or not value:
        raise NobodyKnown(Why.NO_NAME, claim)
    # kube-apiserver takes an address of which nobody says whether it is verified. At some services anybody writes any address
    # into an account.
    if claim == "email" and claims.get("email_verified") is not True:
        raise NobodyKnown(Why.EMAIL_NOT_VERIFIED, claim)
    name = mapping.username_prefix + value
    # The prefix is the platform team's, and of any alphabet.
    if not _is_usable(name) or _passes_for_another(name) or looks_like_others(value):
        raise NobodyKnown(Why.NAME_UNUSABLE, claim)
    if name.startswith(_OF_THE_CLUSTER):
        raise NobodyKnown(Why.NAME_OF_THE_CLUSTER, claim)
    return name


def _groups(claims: Mapping[str, Any], mapping: ClaimMapping) -> tuple[str, ...]:
    claim = mapping.groups_claim
    if not claim:
        return ()
    _require_groups_here(claims, claim)
    found = tuple(dict.fromkeys(mapping.groups_prefix + each for each in _listed(claims.get(claim), claim)))
    if len(found) > MOST_GROUPS or sum(map(len, found)) > MOST_IN_GROUPS:
        raise NobodyKnown(Why.TOO_MANY_GROUPS, claim)
    return tuple(group for group in found if not group.startswith(_OF_THE_CLUSTER))


def _require_groups_here(claims: Mapping[str, Any], claim: str) -> None:
    elsewhere = claims.get("_claim_names")
    # What is no object may mean anything.
    if elsewhere is not None and (not isinstance(elsewhere, dict) or claim in elsewhere):
        raise NobodyKnown(Why.GROUPS_ELSEWHERE, claim)


def _listed(value: object, claim: str) -> Iterator[str]:
    """One text is a group, too: some issuers have one role, and no list."""
    if value is None:
        return
    for group in value if isinstance(value, list) else [value]:
        if not isinstance(group, str) or not group or not _is_usable(group):
            raise NobodyKnown(Why.GROUPS_UNUSABLE, claim)
        yield group


def _is_usable(text: str) -> bool:
    """Not too long, and nothing in it that is not seen, or that changes how the rest is seen."""
    return len(text) <= LONGEST_NAME and text.isprintable()


def _passes_for_another(name: str) -> bool:
    """Whether a page shows a name as it shows another one, letter by letter: the history tells people by their names."""
    # Wide letters, those of mathematics and ligatures are no normal form.
    is_plain = unicodedata.is_normalized("NFKC", name) and name == " ".join(name.split())
    return not is_plain or _LOST in name or _NOT_SEEN.search(name) is not None
