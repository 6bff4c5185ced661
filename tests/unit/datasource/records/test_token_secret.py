"""The token Secret: its shape from the template, its drift from metadata alone."""

from typing import Any

import msgspec
import pytest

from datasource.api.names import FIELD_MANAGER
from datasource.api.objects import ManagedFields, Secret
from datasource.api.spec import InvalidSpec, SpecProblem
from datasource.records.credential import CredentialFacts
from datasource.records.stored_token_secret import read_stored
from datasource.records.token_secret import TokenSecretPlan, plan_token_secret
from tests.unit.datasource.builders import UID, credential_data, facts, spec
from tests.unit.datasource.records.test_stored_token_secret import managed

TEMPLATE: dict[str, Any] = {
    "labels": {"app": "sales"},
    "annotations": {"owner": "team-a"},
    "data": {"header": "Authorization: Bearer {{ access_token }}", "scopes": "{{ scopes }}"},
}
OURS = {
    "annotations/datasource.dev/datasource",
    "annotations/datasource.dev/role",
    "annotations/datasource.dev/content",
}


def planned(
    template: dict[str, Any] | None = None,
    *,
    name: str | None = None,
    url: str | None = None,
    type_: str | None = None,
    **changed_facts: Any,
) -> TokenSecretPlan:
    wanted: dict[str, Any] = {} if template is None else {"template": template}
    if type_ is not None:
        wanted["type"] = type_
    if name is not None:
        wanted["name"] = name
    parsed = spec(token_secret=wanted)
    if url is not None:
        parsed = msgspec.structs.replace(parsed, url=url)
    return plan_token_secret(namespace="shop", name="sales", uid=UID, spec=parsed, facts=facts(**changed_facts))


def written(wanted: TokenSecretPlan, given_facts: CredentialFacts | None = None) -> Secret:
    """The Secret as the API server would give it back."""
    body = wanted.manifest(given_facts or facts(), credential_data())
    return msgspec.json.decode(msgspec.json.encode(body), type=Secret)


def fields_v1(wanted: TokenSecretPlan, *more: str) -> dict[str, Any]:
    """FieldsV1 as the API server writes it for what we sent, and for some paths more."""
    tree: dict[str, Any] = {
        "f:data": {".": {}},
        "f:metadata": {"f:annotations": {".": {}}, "f:labels": {}},
        "f:type": {},
    }
    for path in (*wanted.fields, *more):
        group, _, key = path.partition("/")
        (tree["f:data"] if group == "data" else tree["f:metadata"][f"f:{group}"])[f"f:{key}"] = {}
    return tree


def test_without_a_template_the_secret_holds_token_type_and_end() -> None:
    secret = written(planned())
    assert secret.type == "datasource.dev/oauth2-token"
    assert (secret.metadata.namespace, secret.metadata.name) == ("shop", "sales-token")
    assert {key: secret.value(key) for key in secret.data or {}} == {
        "access_token": "at-1",
        "token_type": "Bearer",
        "expires_at": "2026-07-01T13:00:00Z",
    }


def test_template_decides_keys_values_labels_and_annotations() -> None:
    secret = written(planned(TEMPLATE, name="other"), facts(granted_scopes=("read", "write")))
    assert secret.metadata.name == "other"
    assert secret.metadata.labels == {"app": "sales"}
    assert secret.metadata.annotations["owner"] == "team-a"
    assert {key: secret.value(key) for key in secret.data or {}} == {
        "header": "Authorization: Bearer at-1",
        "scopes": "read write",
    }


def test_every_variable_is_filled_in() -> None:
    text = "{{ access_token }}|{{ token_type }}|{{ expires_at }}|{{ scopes }}|{{ url }}|{{ name }}|{{ namespace }}"
    secret = written(planned({"data": {"all": text}}))
    assert secret.value("all") == "at-1|Bearer|2026-07-01T13:00:00Z|read|https://api.example.com|sales|shop"


def test_end_is_empty_where_the_provider_told_no_lifetime() -> None:
    assert written(planned(), facts(expires_at=None)).value("expires_at") == ""


def test_refresh_token_is_nowhere_in_it() -> None:
    body = planned(TEMPLATE).manifest(facts(), credential_data(refresh_token="sentinel"))
    assert "sentinel" not in str(body)
    assert "c2VudGluZWw" not in str(body)


def test_secret_belongs_to_the_datasource() -> None:
    (owner,) = written(planned()).metadata.owner_references
    assert (owner.kind, owner.name, owner.uid) == ("Datasource", "sales", UID)


def test_annotations_of_ours_win_over_those_of_the_template() -> None:
    template = {"annotations": {"datasource.dev/role": "credential", "datasource.dev/datasource": "other"}}
    annotations = written(planned(template)).metadata.annotations
    assert annotations["datasource.dev/role"] == "token"
    assert annotations["datasource.dev/datasource"] == "sales"


def test_what_is_written_reads_back_as_planned() -> None:
    wanted = planned(TEMPLATE)
    read = read_stored(written(wanted).metadata)
    assert read.content == wanted.content


# Its type.

REGISTRY = '{"auths": {"registry.example.com": {"auth": "{{ access_token | basic_as:oauth2 }}"}}}'


def test_another_type_brings_the_label_by_which_it_is_known() -> None:
    secret = written(planned(TEMPLATE, type_="kubernetes.io/basic-auth"))
    assert secret.type == "kubernetes.io/basic-auth"
    assert secret.metadata.labels == {"app": "sales", "datasource.dev/role": "token"}
    assert secret.metadata.annotations["datasource.dev/role"] == "token"


def test_label_of_ours_wins_over_one_of_the_template() -> None:
    template = {"labels": {"datasource.dev/role": "credential"}}
    assert written(planned(template, type_="Opaque")).metadata.labels == {"datasource.dev/role": "token"}


@pytest.mark.parametrize("type_", [None, "datasource.dev/oauth2-token"])
def test_usual_type_is_known_by_itself(type_: str | None) -> None:
    wanted = planned(TEMPLATE, type_=type_)
    assert written(wanted).type == "datasource.dev/oauth2-token"
    assert written(wanted).metadata.labels == {"app": "sales"}
    assert wanted.content == planned(TEMPLATE).content


def test_image_pull_secret_is_made_of_the_token() -> None:
    wanted = planned({"data": {".dockerconfigjson": REGISTRY}}, type_="kubernetes.io/dockerconfigjson")
    assert msgspec.json.decode(written(wanted).value(".dockerconfigjson") or "") == {
        "auths": {"registry.example.com": {"auth": "b2F1dGgyOmF0LTE="}}
    }


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"auths": {"r": {"password": "{{ access_token }}"}}}', id="a quote in the token"),
        pytest.param('{"auths": {}', id="a brace too few"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param("NaN", id="no JSON at all"),
        pytest.param('{"a": NaN}', id="what only Python takes for JSON"),
        pytest.param("", id="nothing"),
        pytest.param("{{ access_token }}", id="the token alone"),
        pytest.param("[" * 8000, id="deeper than anybody reads"),
        pytest.param('{"a":' * 1600, id="deeper than anybody reads, in objects"),
    ],
)
def test_docker_config_that_is_no_json_object_is_told_before_the_write(text: str) -> None:
    wanted = planned({"data": {".dockerconfigjson": text}}, type_="kubernetes.io/dockerconfigjson")
    with pytest.raises(InvalidSpec) as caught:
        wanted.manifest(facts(), credential_data(access_token='s3cret"token'))
    assert caught.value.problem.field == "spec.tokenSecret.template.data[.dockerconfigjson]"
    assert "is no JSON object once it is filled in" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_docker_config_without_its_key_is_told_too() -> None:
    with pytest.raises(InvalidSpec, match="is no JSON object"):
        planned(type_="kubernetes.io/dockerconfigjson").manifest(facts(), credential_data())


def test_values_are_read_after_the_filters() -> None:
    body = planned({"data": {"pair": "{{ name | basic_as:u }} {{ access_token | json | b64 }}"}})
    assert written(body).value("pair") == "dTpzYWxlcw== ImF0LTEi"


def test_types_have_contents_of_their_own() -> None:
    assert planned(TEMPLATE, type_="Opaque").content != planned(TEMPLATE, type_="example.com/token").content


# Its size.


def too_large(data: dict[str, str] | None, **stored: Any) -> SpecProblem:
    wanted = planned(None if data is None else {"data": data})
    with pytest.raises(InvalidSpec) as caught:
        wanted.manifest(facts(), credential_data(**stored))
    return caught.value.problem


def test_secret_that_would_be_too_large_is_told_with_its_largest_key() -> None:
    bomb = {"small": "{{ access_token }}", "large": "{{access_token}}" * 512}
    error = too_large(bomb, access_token="t" * 65_536)
    assert error.field == "spec.tokenSecret.template.data"
    assert str(error) == (
        "spec.tokenSecret.template.data makes a Secret of 44,826,638 bytes; at most 524,288 are allowed, keys and base64 "
        "included. Its largest key is large with 44,739,249 bytes: {{ access_token }} has 65,536 bytes and is used 512 "
        "times. Use variables fewer times, take text out, or have the service issue shorter tokens."
    )


def test_secret_that_would_be_too_large_is_never_rendered() -> None:
    # A gigabyte: whoever renders it first does not come back.
    token = "t" * 65_536
    bomb = {f"key-{number}": "{{access_token}}" * 512 for number in range(32)}
    with pytest.raises(InvalidSpec) as caught:
        planned({"data": bomb}).manifest(facts(), credential_data(access_token=token))
    assert "is used 512 times" in str(caught.value)


def test_what_filters_make_too_large_is_told_with_the_filter() -> None:
    error = too_large({"twice": "{{ access_token | urlencode }}" * 2}, access_token="/" * 65_536)
    assert "makes a Secret of 524,293 bytes" in str(error)
    assert "{{ access_token | urlencode }} has 196,608 bytes and is used 2 times" in str(error)


def test_what_is_too_large_before_any_filter_is_never_filtered() -> None:
    # 2,000 filters of their own, each over 64 KiB: a second for whoever works them out before counting.
    users = "".join(f"{{{{access_token|basic_as:{number}}}}}" for number in range(2000))
    with pytest.raises(InvalidSpec, match="makes a Secret of"):
        planned({"data": {"all": users}}).manifest(facts(), credential_data(access_token="t" * 65_536))


def test_token_too_long_for_the_usual_secret_is_told_as_such() -> None:
    error = too_large(None, access_token="t" * 600_000)
    assert "{{ access_token }} has 600,000 bytes and is used once" in str(error)
    assert "have the service issue shorter tokens" in str(error)


def test_largest_secret_there_may_be_is_made_to_the_byte() -> None:
    # 4 bytes of base64 for each 3 of the value, and 4 for the key.
    longest = 3 * ((512 * 1024 - 4) // 4)
    secret = written_with({"keys": "{{ access_token }}"}, "t" * longest)
    assert sum(len(key) + len(value) for key, value in secret.items()) == 512 * 1024
    assert too_large({"keys": "{{ access_token }}"}, access_token="t" * (longest + 1))


def written_with(data: dict[str, str], access_token: str) -> dict[str, str]:
    body = planned({"data": data}).manifest(facts(), credential_data(access_token=access_token))
    found: dict[str, str] = body["data"]
    return found


def test_captured_fields_count_in_bytes() -> None:
    captured = credential_data(captured=None).with_captured({"note": "😀" * 2048})
    wanted = plan_token_secret(
        namespace="shop",
        name="sales",
        uid=UID,
        spec=spec(
            capturedFields={"tokenResponse": ["note"]},
            token_secret={"template": {"data": {"notes": "{{ captured.note }}" * 49}}},
        ),
        facts=facts(),
    )
    with pytest.raises(InvalidSpec, match=r"\{\{ captured.note \}\} has 8,192 bytes and is used 49 times"):
        wanted.manifest(facts(), captured)


# Drift.


def test_content_is_pinned() -> None:
    # It stands on stored Secrets: another value would rewrite every token Secret at the next update of the operator.
    # SHA-256 of [credential ID, revision, url, labels, annotations, templates] as JSON, worked out by hand.
    assert planned(TEMPLATE).content == "56454987ee3f7860877b3b33d0c02fa3ecab5b517ae2291608717f852edf8f25"


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(planned(TEMPLATE, credential_id="cred-2"), id="another credential"),
        pytest.param(planned(TEMPLATE, revision=4), id="another revision"),
        pytest.param(planned(TEMPLATE, url="https://other.example.com"), id="another url"),
        pytest.param(planned(TEMPLATE | {"labels": {"app": "x"}}), id="another label"),
        pytest.param(planned(TEMPLATE | {"annotations": {}}), id="an annotation less"),
        pytest.param(planned(TEMPLATE | {"data": {"header": "{{ access_token }}"}}), id="other data"),
        pytest.param(planned(), id="no template"),
        pytest.param(planned(TEMPLATE, type_="Opaque"), id="another type"),
    ],
)
def test_content_changes_with_what_the_secret_is_made_of(changed: TokenSecretPlan) -> None:
    assert changed.content != planned(TEMPLATE).content


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(planned(TEMPLATE, handled=facts().handled, authorized_as="bob"), id="facts that are not in it"),
        pytest.param(
            planned(TEMPLATE | {"data": dict(reversed(list(TEMPLATE["data"].items())))}), id="the order of the keys"
        ),
    ],
)
def test_content_stays_the_same_otherwise(same: TokenSecretPlan) -> None:
    assert same.content == planned(TEMPLATE).content


def test_default_template_written_out_is_the_default_one() -> None:
    default = {
        "access_token": "{{ access_token }}",
        "token_type": "{{ token_type }}",
        "expires_at": "{{ expires_at }}",
    }
    assert planned({"data": default}).content == planned().content


def test_fields_are_the_paths_that_we_write() -> None:
    assert planned(TEMPLATE).fields == {"data/header", "data/scopes", "labels/app", "annotations/owner", *OURS}


def test_undisturbed_secret_owns_exactly_the_planned_fields() -> None:
    wanted = planned(TEMPLATE)
    read = managed(ManagedFields(manager=FIELD_MANAGER, operation="Apply", fields_v1=fields_v1(wanted)))
    assert read.fields == wanted.fields
    assert wanted.removal_patch(read, "7") is None


def test_field_that_somebody_took_over_is_not_ours_any_more() -> None:
    wanted = planned(TEMPLATE)
    tree = fields_v1(wanted)
    del tree["f:data"]["f:header"]
    read = managed(
        ManagedFields(manager=FIELD_MANAGER, operation="Apply", fields_v1=tree),
        ManagedFields(manager="kubectl-edit", operation="Update", fields_v1={"f:data": {"f:header": {}}}),
    )
    assert wanted.fields - read.fields == {"data/header"}


def test_what_an_earlier_template_put_in_is_taken_out() -> None:
    wanted = planned(TEMPLATE)
    left_over = ("data/old", "labels/old", "annotations/old.example.com/key")
    read = managed(ManagedFields(manager=FIELD_MANAGER, fields_v1=fields_v1(wanted, *left_over)))
    assert wanted.removal_patch(read, "7") == {
        "metadata": {
            "resourceVersion": "7",
            "labels": {"old": None},
            "annotations": {"old.example.com/key": None},
        },
        "data": {"old": None},
    }


def test_captured_fields_are_variables_of_the_template() -> None:
    wanted = plan_token_secret(
        namespace="shop",
        name="sales",
        uid=UID,
        spec=spec(
            capturedFields={"tokenResponse": ["instance_url"], "callback": ["realmId"]},
            token_secret={"template": {"data": {"where": "{{ captured.instance_url }}[{{ captured.realmId }}]"}}},
        ),
        facts=facts(),
    )
    data = credential_data(captured=None).with_captured({"instance_url": "https://shop.example.com"})
    body = wanted.manifest(facts(), data)
    made = msgspec.json.decode(msgspec.json.encode(body), type=Secret)
    assert made.value("where") == "https://shop.example.com[]"
