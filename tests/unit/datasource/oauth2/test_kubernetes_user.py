"""Who somebody is to the cluster: a table of claims, those of attackers among them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.kubernetes_user import (
    EVERYBODY,
    LONGEST_NAME,
    MOST_GROUPS,
    MOST_IN_GROUPS,
    ClaimMapping,
    NobodyKnown,
    User,
    Why,
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
