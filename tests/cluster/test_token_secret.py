"""The Secret that apps mount: its shape, and that it stays as it should be."""

import base64
import json
from itertools import pairwise
from typing import Any

import pytest

from tests.support.api import SECRETS
from tests.support.person import Person
from tests.support.recipes import recipes
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster


def authorize(user: User, **spec: Any) -> None:
    user.register_application()
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2(), **spec))
    user.wait_for_reason("AuthorizationRequired")
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")


def decoded(secret: dict[str, Any] | None) -> dict[str, str]:
    assert secret is not None
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def test_holds_the_access_token_and_never_the_refresh_token(user: User) -> None:
    authorize(user)

    secret = user.secret("calendar-token")
    values = decoded(secret)
    assert secret is not None
    assert set(values) == {"access_token", "token_type", "expires_at"}
    assert values["token_type"] == "Bearer"
    assert values["expires_at"] == user.status()["expiresAt"]
    assert values["access_token"] in user.provider.secrets().access_tokens
    assert secret["type"] == "datasource.dev/oauth2-token"
    assert secret["metadata"]["ownerReferences"][0]["uid"] == user.get()["metadata"]["uid"]
    assert "blockOwnerDeletion" not in secret["metadata"]["ownerReferences"][0]
    assert not set(user.provider.secrets().refresh_tokens) & set(values.values())


def test_has_the_shape_that_the_template_asks_for(user: User) -> None:
    template = {
        "labels": {"app.kubernetes.io/name": "reader"},
        "annotations": {"reloader.stakater.com/match": "true"},
        "data": {
            "header": "Authorization: {{ token_type }} {{access_token}}",
            "where": "{{ url }} {{ namespace }}/{{ name }}",
        },
    }
    authorize(user, tokenSecret={"name": "reader-token", "template": template})

    secret = user.secret("reader-token")
    values = decoded(secret)
    assert secret is not None
    assert values["header"].removeprefix("Authorization: Bearer ") in user.provider.secrets().access_tokens
    assert values["where"] == f"https://api.example.com/v3 {user.namespace}/calendar"
    assert secret["metadata"]["labels"]["app.kubernetes.io/name"] == "reader"
    assert secret["metadata"]["annotations"]["reloader.stakater.com/match"] == "true"
    assert user.status()["tokenSecretName"] == "reader-token"


def test_changed_template_leaves_nothing_behind(user: User) -> None:
    authorize(
        user,
        tokenSecret={"template": {"labels": {"app.kubernetes.io/name": "one"}, "data": {"one": "{{ access_token }}"}}},
    )

    user.apply(user.datasource(user.oauth2(), tokenSecret={"template": {"data": {"two": "{{ access_token }}"}}}))

    eventually("the shape is the new one", lambda: set(decoded(user.secret("calendar-token"))) == {"two"})
    secret = user.secret("calendar-token")
    assert secret is not None
    assert "app.kubernetes.io/name" not in secret["metadata"].get("labels", {})


def test_renamed_leaves_no_old_one_behind(user: User) -> None:
    authorize(user)

    user.apply(user.datasource(user.oauth2(), tokenSecret={"name": "another"}))

    eventually("the new one is there", lambda: user.secret("another") is not None)
    eventually("the old one is gone", lambda: user.secret("calendar-token") is None)


def renamed(user: User, names: dict[str, str]) -> str:
    """Manifests that ask for these token Secrets, by Datasource, for one apply."""
    wanted = [user.datasource(user.oauth2(), name=each, tokenSecret={"name": name}) for each, name in names.items()]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted})


def test_datasources_that_trade_names_all_end_with_their_own_token(user: User) -> None:
    """Three in a ring by one apply, as GitOps does it; then two, one after the other."""
    user.register_application()
    user.create_client_secret()
    own = {"one": "t1", "two": "t2", "three": "t3"}
    user.kubectl("apply", "-f", "-", stdin=renamed(user, own))
    for each in own:
        user.wait_for_reason("AuthorizationRequired", each)
        with Person() as person:
            person.authorize(user.link(each))
        user.wait_for_reason("Authorized", each)
    tokens = {each: user.decoded(name, "access_token") for each, name in own.items()}
    assert len(set(tokens.values())) == 3

    def hold(names: dict[str, str]) -> bool:
        return all(user.decoded(name, "access_token") == tokens[each] for each, name in names.items())

    ring = {"one": "t2", "two": "t3", "three": "t1"}
    user.kubectl("apply", "-f", "-", stdin=renamed(user, ring))
    eventually("each has its token under the new name", lambda: hold(ring))

    user.kubectl("apply", "-f", "-", stdin=renamed(user, {"one": "t3"}))
    user.wait_for_message("holds the token of Datasource two", "one")
    assert hold(ring)
    user.kubectl("apply", "-f", "-", stdin=renamed(user, {"two": "t2"}))
    swapped = {"one": "t3", "two": "t2", "three": "t1"}
    eventually("the two have traded", lambda: hold(swapped))
    for each in own:
        user.wait_for_reason("Authorized", each)


def test_deleted_comes_back(user: User) -> None:
    authorize(user)
    before = user.secret("calendar-token")
    assert before is not None

    user.kubectl("delete", "secret", "calendar-token")

    eventually("it is back", lambda: user.secret("calendar-token") is not None)
    after = user.secret("calendar-token")
    assert after is not None
    assert after["data"] == before["data"]
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"access_token": "c3RvbGVu"}},
        {"data": {"access_token": None}},
        {"metadata": {"annotations": {"datasource.dev/content": "same"}}},
        {"metadata": {"ownerReferences": None}},
    ],
    ids=["altered value", "removed key", "altered annotation", "no owner"],
)
def test_altered_by_hand_is_put_right(user: User, change: dict[str, Any]) -> None:
    authorize(user)
    before = user.secret("calendar-token")
    assert before is not None

    user.kubectl("patch", "secret", "calendar-token", "--type=merge", "-p", json.dumps(change))

    def is_as_before() -> bool:
        now = user.secret("calendar-token")
        assert now is not None
        return all(
            now["metadata"].get(key) == before["metadata"].get(key) for key in ("annotations", "ownerReferences")
        ) and bool(now["data"] == before["data"])

    eventually("it is as before", is_as_before, lambda: user.secret("calendar-token"))


def test_key_that_somebody_added_is_left_alone(user: User) -> None:
    authorize(user)

    user.kubectl("patch", "secret", "calendar-token", "--type=merge", "-p", '{"data": {"theirs": "eA=="}}')
    user.kubectl("delete", "secret", "app")
    user.apply(user.datasource(user.oauth2(), tokenSecret={"template": {"data": {"two": "{{ access_token }}"}}}))

    eventually("the shape is the new one", lambda: set(decoded(user.secret("calendar-token"))) == {"two", "theirs"})


def test_immutable_one_is_an_error_that_names_it(user: User) -> None:
    authorize(user)
    user.kubectl("patch", "secret", "calendar-token", "--type=merge", "-p", '{"immutable": true}')

    user.apply(user.datasource(user.oauth2(), tokenSecret={"template": {"data": {"two": "{{ access_token }}"}}}))
    user.wait_for_reason("SecretConflict")

    assert "calendar-token" in user.ready()["message"]
    user.kubectl("delete", "secret", "calendar-token")
    user.wait_for_reason("Authorized")
    eventually("the operator creates it again", lambda: user.secret("calendar-token") is not None)


def test_immutable_one_stops_no_refresh(user: User) -> None:
    """Where refresh tokens die of idleness, the grant would be lost with it."""
    authorize(user)
    user.kubectl("patch", "secret", "calendar-token", "--type=merge", "-p", '{"immutable": true}')
    for value in ("1", "2", "3"):
        user.annotate("refresh", value)
        user.wait_for_handled("refresh", value)
    assert user.reason() == "SecretConflict"

    user.kubectl("delete", "secret", "calendar-token")
    user.wait_for_reason("Authorized")
    token = user.decoded("calendar-oauth2-credential", "access_token")
    eventually("apps have the newest", lambda: user.decoded("calendar-token", "access_token") == token)


def test_one_of_another_type_is_kept_and_its_copy_is_left_alone(user: User) -> None:
    template = {"data": {"username": "oauth2", "password": "{{ access_token }}"}}
    authorize(user, tokenSecret={"type": "kubernetes.io/basic-auth", "name": "registry", "template": template})
    made = user.secret("registry")
    assert made is not None
    assert made["type"] == "kubernetes.io/basic-auth"
    assert made["metadata"]["labels"] == {"datasource.dev/role": "token"}
    assert decoded(made)["password"] in user.provider.secrets().access_tokens

    # As `kubectl get -o json` and `kubectl create` copy it, who manages which field included.
    whole = json.loads(user.kubectl("get", "secret", "registry", "-o", "json", "--show-managed-fields"))
    kept = {key: each for key, each in whole["metadata"].items() if key not in {"uid", "resourceVersion"}}
    user.kubectl("create", "-f", "-", stdin=json.dumps(whole | {"metadata": kept | {"name": "copied"}}))
    copy = user.secret("copied")

    user.kubectl("label", "secret", "registry", "datasource.dev/role-")

    def has_its_label() -> bool:
        now = user.secret("registry")
        return now is not None and now["metadata"].get("labels") == made["metadata"]["labels"]

    eventually("its label is back", has_its_label, lambda: user.secret("registry"))
    user.clear("1")
    eventually("it is gone", lambda: user.secret("registry") is None)
    user.wait_for_reason("CredentialCleared")
    assert user.secret("copied") == copy


@pytest.mark.parametrize("name", ["calendar-token", "calendar-oauth2-credential"])
def test_secret_of_somebody_else_stays_byte_identical(user: User, name: str) -> None:
    user.register_application()
    user.create_client_secret()
    user.kubectl("create", "secret", "generic", name, "--from-literal=keep=me")
    before = user.secret(name)

    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("SecretConflict")

    assert name in user.ready()["message"]
    assert user.secret(name) == before
    user.clear("1")
    user.kubectl("patch", "datasource", "calendar", "--type=merge", "-p", '{"spec": {"refreshBefore": "31s"}}')
    eventually(
        "the operator has looked", lambda: user.status()["observedGeneration"] == user.get()["metadata"]["generation"]
    )
    assert user.secret(name) == before


def test_two_of_one_name_in_two_namespaces_never_touch_each_other(user: User) -> None:
    authorize(user)
    other = User(user.cluster, f"{user.namespace}-b", user.provider, user.external_url)
    user.cluster.kubectl("create", "namespace", other.namespace)
    try:
        authorize(other)
        mine, theirs = user.secret("calendar-token"), other.secret("calendar-token")
        assert decoded(mine)["access_token"] != decoded(theirs)["access_token"]
        kept = user.credential()

        other.clear("1")
        other.wait_for_reason("CredentialCleared")
        other.kubectl("delete", "datasource", "calendar")
        eventually("theirs is gone", lambda: other.credential() is None)

        assert user.state() == "AUTHORIZED"
        assert user.secret("calendar-token") == mine
        assert user.credential() == kept
    finally:
        user.cluster.kubectl("delete", "namespace", other.namespace, "--wait=false")


CREDENTIAL = "calendar-oauth2-credential"


def changes_of_the_token_secret(user: User, since: str) -> list[tuple[str, dict[str, Any]]]:
    """What a watch of it shows since that resourceVersion: ADDED, MODIFIED or DELETED, and the Secret."""
    path = f"/api/v1/namespaces/{user.namespace}/secrets?watch=1&timeoutSeconds=3&resourceVersion={since}"
    lines = user.kubectl("get", "--raw", f"{path}&fieldSelector=metadata.name%3Dcalendar-token").splitlines()
    return [(event["type"], event["object"]) for event in map(json.loads, lines)]


def test_what_reloader_compares_changes_once_for_each_refresh_and_is_another_secret_after_a_clear(user: User) -> None:
    """Its documentation: it restarts for data that changed, and for a new Secret only with --reload-on-create."""
    since = user.api.resource_version(SECRETS, user.namespace)
    authorize(user, tokenSecret=recipes()["Restarts"].token_secret)
    for value in ("1", "2"):
        user.annotate("refresh", value)
        user.wait_for_handled("refresh", value)
        eventually(
            "apps have it",
            lambda: user.decoded("calendar-token", "access_token") == user.decoded(CREDENTIAL, "access_token"),
        )
    # A change of metadata alone is no restart.
    user.kubectl("annotate", "secret", "calendar-token", "example.com/seen=yes")
    user.clear("1")
    user.wait_for_reason("CredentialCleared")
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")
    new = user.secret("calendar-token")
    assert new is not None

    def all_of_them() -> bool:
        shown = changes_of_the_token_secret(user, since)
        return bool(shown) and shown[-1][1]["metadata"]["uid"] == new["metadata"]["uid"]

    eventually("a watch shows the last", all_of_them)
    changes = changes_of_the_token_secret(user, since)
    kinds = [kind for kind, _ in changes]
    cleared = kinds.index("DELETED")
    assert (kinds[0], kinds[cleared + 1]) == ("ADDED", "ADDED")
    assert set(kinds[1:cleared]) == {"MODIFIED"}
    assert set(kinds[cleared + 2 :]) <= {"MODIFIED"}
    marks = {secret["metadata"]["annotations"].get("reloader.stakater.com/match") for _, secret in changes}
    assert marks == {"true"}
    first = [secret["data"] for _, secret in changes[:cleared]]
    assert sum(before != after for before, after in pairwise(first)) == 2
    assert all(secret["data"] == new["data"] for _, secret in changes[cleared + 1 :])
    assert changes[0][1]["metadata"]["uid"] != new["metadata"]["uid"]
