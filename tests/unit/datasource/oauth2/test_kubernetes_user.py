"""Who somebody is to the cluster: a table of claims, those of attackers among them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.id_token import claims_in
from datasource.oauth2.kubernetes_user import (
    EVERYBODY,
    LONGEST_NAME,
    MOST_GROUPS,
    MOST_IN_GROUPS,
    ClaimMapping,
    NobodyKnown,
    User,
    Why,
    is_of_the_cluster,
    user_of,
)

CLIENT = "connect"
BY_SUB = ClaimMapping()
BY_EMAIL = ClaimMapping(username_claim="email")
WITH_GROUPS = ClaimMapping(groups_claim="groups")
PREFIXED = ClaimMapping("sub", "https://login.example.com#", "groups", "oidc:")


def user(mapping: ClaimMapping = WITH_GROUPS, **claims: Any) -> User:
    return user_of({"aud": CLIENT, "sub": "ada"} | claims, mapping, client_id=CLIENT)


def refusal(mapping: ClaimMapping = WITH_GROUPS, **claims: Any) -> Why:
    with pytest.raises(NobodyKnown) as caught:
        user(mapping, **claims)
    return caught.value.why


@pytest.mark.parametrize(
    ("mapping", "claims", "name", "groups"),
    [
        pytest.param(BY_SUB, {}, "ada", (), id="sub, and no groups asked for"),
        pytest.param(BY_SUB, {"groups": ["dev"]}, "ada", (), id="groups that nobody asked for"),
        pytest.param(WITH_GROUPS, {"groups": ["dev", "ops"]}, "ada", ("dev", "ops"), id="groups"),
        pytest.param(WITH_GROUPS, {"groups": "dev"}, "ada", ("dev",), id="one group that is no list"),
        pytest.param(WITH_GROUPS, {"groups": []}, "ada", (), id="no group"),
        pytest.param(WITH_GROUPS, {"groups": None}, "ada", (), id="null"),
        pytest.param(WITH_GROUPS, {}, "ada", (), id="no claim of groups"),
        pytest.param(WITH_GROUPS, {"groups": ["dev", "dev"]}, "ada", ("dev",), id="a group twice"),
        pytest.param(PREFIXED, {"groups": ["dev"]}, "https://login.example.com#ada", ("oidc:dev",), id="prefixes"),
        pytest.param(
            PREFIXED,
            {"sub": "system:admin", "groups": ["system:masters"]},
            "https://login.example.com#system:admin",
            ("oidc:system:masters",),
            id="names of the cluster that a prefix makes others",
        ),
        pytest.param(
            WITH_GROUPS,
            {"groups": ["system:masters", "dev", "system:", "system:nodes", EVERYBODY]},
            "ada",
            ("dev",),
            id="groups of the cluster are left out",
        ),
        pytest.param(WITH_GROUPS, {"groups": ["System:masters"]}, "ada", ("System:masters",), id="capitals are others"),
        pytest.param(BY_EMAIL, {"email": "a@x.org", "email_verified": True}, "a@x.org", (), id="a verified address"),
        pytest.param(
            BY_SUB, {"email": "a@x.org", "email_verified": False}, "ada", (), id="an address that is not used"
        ),
        pytest.param(BY_SUB, {"aud": [CLIENT]}, "ada", (), id="an audience in a list"),
        pytest.param(BY_SUB, {"aud": [CLIENT, CLIENT]}, "ada", (), id="the same twice"),
        pytest.param(
            BY_SUB, {"_claim_names": {"groups": "src1"}}, "ada", (), id="groups elsewhere that nobody asked for"
        ),
        pytest.param(WITH_GROUPS, {"_claim_names": {"photo": "src1"}}, "ada", (), id="something else elsewhere"),
        pytest.param(BY_SUB, {"sub": "Jürgen Müller"}, "Jürgen Müller", (), id="letters of the world, and a space"),
        pytest.param(BY_SUB, {"sub": "Zo\u00eb"}, "Zo\u00eb", (), id="a letter with a sign on it, as one character"),
        pytest.param(BY_SUB, {"sub": "System:admin"}, "System:admin", (), id="a name in capitals is another"),
        pytest.param(BY_SUB, {"sub": "Иван Петров"}, "Иван Петров", (), id="another alphabet"),
        pytest.param(
            ClaimMapping("sub", "https://login.example.com#"),
            {"sub": "Иван Петров"},
            "https://login.example.com#Иван Петров",
            (),
            id="another alphabet behind a prefix",
        ),
        pytest.param(BY_SUB, {"sub": "systems"}, "systems", (), id="no colon"),
        pytest.param(
            ClaimMapping("sub", "", "groups", "sys"),
            {"groups": ["tem:masters", "tem:", "dev"]},
            "ada",
            ("sysdev",),
            id="groups of the cluster that the prefix makes are left out",
        ),
        pytest.param(
            WITH_GROUPS, {"groups": "system:masters"}, "ada", (), id="one group of the cluster that is no list"
        ),
        pytest.param(
            WITH_GROUPS,
            {"groups": ["\U0001f6e0\ufe0f platform"]},
            "ada",
            ("\U0001f6e0\ufe0f platform",),
            id="a picture in a group",
        ),
        pytest.param(BY_SUB, {"sub": "x" * LONGEST_NAME}, "x" * LONGEST_NAME, (), id="as long as may be"),
    ],
)
def test_claims_make_a_user(mapping: ClaimMapping, claims: dict[str, Any], name: str, groups: tuple[str, ...]) -> None:
    assert user(mapping, **claims) == User(name, (*groups, EVERYBODY))


@pytest.mark.parametrize(
    ("mapping", "claims", "why"),
    [
        pytest.param(BY_SUB, {"sub": None}, Why.NO_NAME, id="no name"),
        pytest.param(BY_SUB, {"sub": ""}, Why.NO_NAME, id="an empty name"),
        pytest.param(PREFIXED, {"sub": ""}, Why.NO_NAME, id="an empty name behind a prefix"),
        pytest.param(BY_SUB, {"sub": 5}, Why.NO_NAME, id="a number"),
        pytest.param(BY_SUB, {"sub": ["ada"]}, Why.NO_NAME, id="a list"),
        pytest.param(ClaimMapping("upn"), {}, Why.NO_NAME, id="a claim that is not there"),
        pytest.param(BY_SUB, {"sub": "system:admin"}, Why.NAME_OF_THE_CLUSTER, id="an administrator"),
        pytest.param(BY_SUB, {"sub": "system:"}, Why.NAME_OF_THE_CLUSTER, id="the prefix alone"),
        pytest.param(
            BY_SUB, {"sub": "system:serviceaccount:kube-system:x"}, Why.NAME_OF_THE_CLUSTER, id="a service account"
        ),
        pytest.param(
            ClaimMapping(username_prefix="sys"), {"sub": "tem:admin"}, Why.NAME_OF_THE_CLUSTER, id="made by the prefix"
        ),
        pytest.param(BY_SUB, {"sub": "x" * (LONGEST_NAME + 1)}, Why.NAME_UNUSABLE, id="a character too long"),
        pytest.param(PREFIXED, {"sub": "x" * LONGEST_NAME}, Why.NAME_UNUSABLE, id="too long with its prefix"),
        pytest.param(BY_SUB, {"sub": "a\nb"}, Why.NAME_UNUSABLE, id="a line end"),
        pytest.param(BY_SUB, {"sub": "a\0"}, Why.NAME_UNUSABLE, id="a NUL"),
        pytest.param(BY_SUB, {"sub": "a\x1b[31m"}, Why.NAME_UNUSABLE, id="a terminal's escape"),
        pytest.param(BY_SUB, {"sub": "a\x85"}, Why.NAME_UNUSABLE, id="a control character of Latin-1"),
        pytest.param(BY_SUB, {"sub": "a\u2028b"}, Why.NAME_UNUSABLE, id="a line separator"),
        pytest.param(BY_SUB, {"sub": "\u202eada"}, Why.NAME_UNUSABLE, id="a direction"),
        pytest.param(BY_SUB, {"sub": "a\u200bda"}, Why.NAME_UNUSABLE, id="a space of no width"),
        pytest.param(BY_SUB, {"sub": "a\ud800"}, Why.NAME_UNUSABLE, id="half a character"),
        pytest.param(BY_SUB, {"sub": "a\ufffd"}, Why.NAME_UNUSABLE, id="what half a character becomes"),
        pytest.param(BY_SUB, {"sub": "Zoe\u0308"}, Why.NAME_UNUSABLE, id="a letter and a sign as two characters"),
        pytest.param(BY_SUB, {"sub": "\u212bda"}, Why.NAME_UNUSABLE, id="the sign for angstroms as a letter"),
        pytest.param(BY_SUB, {"sub": "ada\u3164"}, Why.NAME_UNUSABLE, id="a letter that is empty"),
        pytest.param(BY_SUB, {"sub": "a\ufe0fda"}, Why.NAME_UNUSABLE, id="a variation of nothing"),
        pytest.param(BY_SUB, {"sub": "a\u034fda"}, Why.NAME_UNUSABLE, id="a joiner that is not seen"),
        pytest.param(BY_SUB, {"sub": "ada\u2800"}, Why.NAME_UNUSABLE, id="Braille without a dot"),
        pytest.param(BY_SUB, {"sub": "ada\U000e0041"}, Why.NAME_UNUSABLE, id="a tag"),
        pytest.param(BY_SUB, {"sub": "ada "}, Why.NAME_UNUSABLE, id="a space at the end"),
        pytest.param(BY_SUB, {"sub": " system:admin"}, Why.NAME_UNUSABLE, id="a space before a name of the cluster"),
        pytest.param(BY_SUB, {"sub": "ada  b"}, Why.NAME_UNUSABLE, id="two spaces"),
        pytest.param(BY_SUB, {"sub": "s\u200bystem:admin"}, Why.NAME_UNUSABLE, id="a name of the cluster, parted"),
        pytest.param(BY_SUB, {"sub": "\uff53ystem:admin"}, Why.NAME_UNUSABLE, id="a wide letter"),
        pytest.param(BY_SUB, {"sub": "system\uff1aadmin"}, Why.NAME_UNUSABLE, id="a wide colon"),
        pytest.param(BY_SUB, {"sub": "\U0001d68ada"}, Why.NAME_UNUSABLE, id="a letter of mathematics"),
        pytest.param(BY_SUB, {"sub": "\u0430da"}, Why.NAME_UNUSABLE, id="a Cyrillic letter among Latin ones"),
        pytest.param(
            BY_EMAIL,
            {"email": "\u0430\u0441\u0430@x.org", "email_verified": True},
            Why.NAME_UNUSABLE,
            id="a Cyrillic name at a Latin host",
        ),
        pytest.param(
            BY_SUB, {"sub": "\u0430\u0441\u0430"}, Why.NAME_UNUSABLE, id="Cyrillic letters that all look Latin"
        ),
        pytest.param(
            ClaimMapping("sub", "oidc:"),
            {"sub": "\u0430\u0441\u0430"},
            Why.NAME_UNUSABLE,
            id="the same behind a prefix",
        ),
        pytest.param(BY_SUB, {"sub": 1.5}, Why.NO_NAME, id="a number with a point"),
        pytest.param(BY_SUB, {"sub": True}, Why.NO_NAME, id="true"),
        pytest.param(BY_SUB, {"sub": {"name": "ada"}}, Why.NO_NAME, id="an object"),
        pytest.param(
            ClaimMapping(username_prefix="system"), {"sub": ":admin"}, Why.NAME_OF_THE_CLUSTER, id="made by the colon"
        ),
        pytest.param(WITH_GROUPS, {"groups": [[["dev"]]]}, Why.GROUPS_UNUSABLE, id="lists in lists"),
        pytest.param(
            WITH_GROUPS, {"groups": [{"name": "system:masters"}]}, Why.GROUPS_UNUSABLE, id="an object among groups"
        ),
        pytest.param(WITH_GROUPS, {"groups": ["dev\u200b"]}, Why.GROUPS_UNUSABLE, id="a space of no width in a group"),
        pytest.param(
            WITH_GROUPS,
            {"groups": [f"g{n}" for n in range(10_000)]},
            Why.TOO_MANY_GROUPS,
            id="ten thousand groups",
        ),
        pytest.param(WITH_GROUPS, {"_claim_names": 7}, Why.GROUPS_ELSEWHERE, id="a number for what is elsewhere"),
        pytest.param(BY_EMAIL, {"email": "a@x.org"}, Why.EMAIL_NOT_VERIFIED, id="an address of which nobody says"),
        pytest.param(
            BY_EMAIL, {"email": "a@x.org", "email_verified": False}, Why.EMAIL_NOT_VERIFIED, id="not verified"
        ),
        pytest.param(
            BY_EMAIL, {"email": "a@x.org", "email_verified": "true"}, Why.EMAIL_NOT_VERIFIED, id="verified in words"
        ),
        pytest.param(
            BY_EMAIL, {"email": "a@x.org", "email_verified": 1}, Why.EMAIL_NOT_VERIFIED, id="verified in numbers"
        ),
        pytest.param(BY_SUB, {"aud": [CLIENT, "other"]}, Why.OTHER_AUDIENCES, id="two audiences"),
        pytest.param(BY_SUB, {"aud": "other"}, Why.OTHER_AUDIENCES, id="another's"),
        pytest.param(BY_SUB, {"aud": []}, Why.OTHER_AUDIENCES, id="nobody's"),
        pytest.param(BY_SUB, {"aud": None}, Why.OTHER_AUDIENCES, id="no audience"),
        pytest.param(BY_SUB, {"aud": {CLIENT: 1}}, Why.OTHER_AUDIENCES, id="an audience that is an object"),
        pytest.param(BY_SUB, {"aud": [[CLIENT]]}, Why.OTHER_AUDIENCES, id="a list in a list"),
        pytest.param(
            WITH_GROUPS,
            {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}},
            Why.GROUPS_ELSEWHERE,
            id="groups elsewhere",
        ),
        pytest.param(
            WITH_GROUPS,
            {"groups": ["dev"], "_claim_names": {"groups": "src1"}},
            Why.GROUPS_ELSEWHERE,
            id="groups here and elsewhere",
        ),
        pytest.param(WITH_GROUPS, {"_claim_names": ["groups"]}, Why.GROUPS_ELSEWHERE, id="a list of names"),
        pytest.param(WITH_GROUPS, {"_claim_names": "groups"}, Why.GROUPS_ELSEWHERE, id="a name"),
        pytest.param(WITH_GROUPS, {"groups": {"dev": True}}, Why.GROUPS_UNUSABLE, id="an object of groups"),
        pytest.param(WITH_GROUPS, {"groups": 7}, Why.GROUPS_UNUSABLE, id="a number of groups"),
        pytest.param(WITH_GROUPS, {"groups": ["dev", 7]}, Why.GROUPS_UNUSABLE, id="a number among groups"),
        pytest.param(WITH_GROUPS, {"groups": ["dev", None]}, Why.GROUPS_UNUSABLE, id="null among groups"),
        pytest.param(WITH_GROUPS, {"groups": ["dev", ["ops"]]}, Why.GROUPS_UNUSABLE, id="a list among groups"),
        pytest.param(WITH_GROUPS, {"groups": ["dev", ""]}, Why.GROUPS_UNUSABLE, id="an empty group"),
        pytest.param(WITH_GROUPS, {"groups": ""}, Why.GROUPS_UNUSABLE, id="an empty group that is no list"),
        pytest.param(WITH_GROUPS, {"groups": ["d\nev"]}, Why.GROUPS_UNUSABLE, id="a line end in a group"),
        pytest.param(WITH_GROUPS, {"groups": ["x" * 1025]}, Why.GROUPS_UNUSABLE, id="a long group"),
        pytest.param(
            WITH_GROUPS,
            {"groups": [f"g{n}" for n in range(MOST_GROUPS + 1)]},
            Why.TOO_MANY_GROUPS,
            id="a group too many",
        ),
        pytest.param(
            WITH_GROUPS,
            {"groups": [f"{n:03}" + "x" * 997 for n in range(MOST_IN_GROUPS // 1000 + 1)]},
            Why.TOO_MANY_GROUPS,
            id="groups that are too long together",
        ),
    ],
)
def test_claims_that_end_the_sign_in(mapping: ClaimMapping, claims: dict[str, Any], why: Why) -> None:
    assert refusal(mapping, **claims) is why


def test_as_many_groups_as_may_be() -> None:
    assert len(user(groups=[f"g{n}" for n in range(MOST_GROUPS)]).groups) == MOST_GROUPS + 1


def test_error_tells_the_claim_and_not_its_value() -> None:
    with pytest.raises(NobodyKnown) as caught:
        user(BY_SUB, sub="system:sentinel-admin")
    assert caught.value.claim == "sub"
    assert "sentinel" not in str(caught.value)


@pytest.mark.parametrize(
    ("twice", "name"),
    [
        ('"sub": "ada", "sub": "eve"', "eve"),
        ('"sub": "system:admin", "sub": "eve"', "eve"),
        ('"sub": "ada", "sub": null', None),
        ('"sub": "ada", "sub": "system:admin"', None),
        ('"sub": "ada", "s\\u0075b": ""', None),
        ('"sub": "ada", "groups": ["dev"], "groups": 7', None),
    ],
)
def test_of_a_claim_that_comes_twice_the_last_counts_as_for_the_api_server(twice: str, name: str | None) -> None:
    claims = claims_in(f'{{"aud": "{CLIENT}", {twice}}}'.encode())
    if name is None:
        with pytest.raises(NobodyKnown):
            user_of(claims, WITH_GROUPS, client_id=CLIENT)
    else:
        assert user_of(claims, WITH_GROUPS, client_id=CLIENT).name == name


@pytest.mark.parametrize("half", ["\\ud800", "\\udc00"])
def test_halves_of_characters_make_no_two_people_one(half: str) -> None:
    claims = claims_in(f'{{"aud": "{CLIENT}", "sub": "ada{half}"}}'.encode())
    with pytest.raises(NobodyKnown) as caught:
        user_of(claims, BY_SUB, client_id=CLIENT)
    assert caught.value.why is Why.NAME_UNUSABLE


@pytest.mark.parametrize("user", [User("system:admin"), User("ada", ("system:masters", EVERYBODY)), User("system:")])
def test_who_is_called_as_the_cluster_calls_its_own_is_known_as_such(user: User) -> None:
    assert is_of_the_cluster(user)


def test_people_who_signed_in_are_not_the_cluster_s_own() -> None:
    assert not is_of_the_cluster(user(groups=["system:masters", "dev"]))


def test_user_in_a_log_tells_no_groups() -> None:
    assert repr(User("ada", ("dev", "ops"))) == "User('ada', 2 groups)"


@given(
    claims=st.dictionaries(
        st.sampled_from(["sub", "groups", "aud", "email", "email_verified", "_claim_names"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=6,
        ),
    )
)
def test_whatever_is_claimed_nobody_becomes_one_of_the_cluster_s_own(claims: dict[str, Any]) -> None:
    try:
        found = user_of({"aud": CLIENT} | claims, WITH_GROUPS, client_id=CLIENT)
    except NobodyKnown:
        return
    assert found.name
    assert not found.name.startswith("system:")
    assert [group for group in found.groups if group.startswith("system:")] == [EVERYBODY]
    assert found.groups[-1] == EVERYBODY
