"""What no token Secret can be made of is found before there is a token."""

from collections.abc import Callable
from typing import Any

import pytest

from datasource.api.spec import (
    SpecProblem,
)
from datasource.api.spec_problems import parse_spec
from datasource.api.template_problems import template_problem, template_size
from datasource.outbound.printable import printable
from tests.unit.datasource.builders import oauth2, spec

# The token Secret.


def problem_of(**template: Any) -> SpecProblem | None:
    return template_problem(spec(token_secret={"template": template}))


def refused_template(**template: Any) -> SpecProblem:
    problem = problem_of(**template)
    assert problem is not None
    return problem


def test_variable_that_there_is_not_is_named_with_its_key() -> None:
    error = refused_template(data={"ok": "{{ url }}", "bad": "{{ refresh_token }}"})
    assert error.field == "spec.tokenSecret.template.data[bad]"
    assert "uses the unknown variable {{ refresh_token }}" in str(error)


def test_filter_that_there_is_not_is_named_with_its_key() -> None:
    error = refused_template(data={"ok": "{{ url | json }}", "bad": "{{ access_token | md5 }}"})
    assert str(error) == (
        "spec.tokenSecret.template.data[bad] uses the unknown filter md5 in {{ access_token | md5 }}. "
        "See `kubectl explain dsrc.spec.tokenSecret.template.data` for the known ones."
    )


def test_several_mistakes_are_told_at_once() -> None:
    see = "See `kubectl explain dsrc.spec.tokenSecret.template.data` for the known ones."
    field = "spec.tokenSecret.template.data"
    wrong = {"a": "{{ acces_token }}", "b": "{{ access_token | b64enc }}"}
    first = f"{field}[a] uses the unknown variable {{{{ acces_token }}}} (perhaps {{{{ access_token }}}} is meant)"
    second = f"{field}[b] uses the unknown filter b64enc in {{{{ access_token | b64enc }}}} (perhaps b64 is meant)"
    assert str(refused_template(data=wrong)) == f"{first}. {second}. {see}"

    label = "spec.tokenSecret.template.labels[x] has a value that no label can have"
    how = "Use up to 63 letters, digits, - _ and ., with a letter or digit at both ends."
    three = refused_template(data=wrong, labels={"x": "-"})
    assert str(three) == f"{first}. {second}. {label}. {see} {how}"

    four = refused_template(data=wrong | {"c": "{{ tokn }}"}, labels={"x": "-"})
    third = f"{field}[c] uses the unknown variable {{{{ tokn }}}}"
    assert str(four) == f"{first}. {second}. {third}. {see} There are more."


def test_variable_as_long_as_the_template_is_shown_in_part() -> None:
    assert len(str(refused_template(data={"bad": "{{" + "x" * 8188 + "}}"}))) < 500


@pytest.mark.parametrize("odd", ["\x1b[31mred", "a\u202eb", "a\x00", "a\nb", "\x9b2J"])
@pytest.mark.parametrize(
    "template",
    [
        lambda odd: {"data": {"bad": f"{{{{ {odd} }}}}"}},
        lambda odd: {"data": {"bad": f"{{{{ url | {odd} }}}}"}},
        lambda odd: {"data": {odd: "x"}},
        lambda odd: {"labels": {odd: "x"}},
        lambda odd: {"annotations": {odd: "x"}},
    ],
    ids=["variable", "filter", "key", "label", "annotation"],
)
def test_message_moves_nobodys_cursor(template: Callable[[str], dict[str, Any]], odd: str) -> None:
    """It goes into Events and to the receiver of notifications, and so to people of other teams."""
    assert str(refused_template(**template(odd))).isprintable()


def test_template_is_checked_without_oauth2_too() -> None:
    raw = {"url": "x", "tokenSecret": {"template": {"data": {"bad": "{{ nothing }}"}}}}
    problem = template_problem(parse_spec(raw, allow_insecure_http=False))
    assert problem is not None
    assert problem.field == "spec.tokenSecret.template.data[bad]"


def test_wrong_template_is_no_reason_to_refuse_the_oauth2_parameters() -> None:
    # Else neither a refresh nor a revocation would know where to go.
    assert spec(token_secret={"template": {"data": {"bad": "{{ nothing }}"}}}).oauth2 == oauth2()


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param(".", id="a dot"),
        pytest.param("..", id="two dots"),
        pytest.param("..data", id="two dots in front, as kubelet names its own"),
        pytest.param("a/b", id="a slash"),
        pytest.param("a b", id="a space"),
        pytest.param("schlüssel", id="a letter that is not ASCII"),
        pytest.param("a\n", id="a line break at the end"),
        pytest.param("a" * 254, id="254 characters"),
    ],
)
def test_key_that_no_secret_can_have_is_named(key: str) -> None:
    error = refused_template(data={"ok": "", key: "x"})
    assert error.field == f"spec.tokenSecret.template.data[{printable(key[:253])}]"
    assert "is not a key that a Secret can have. Use up to 253 letters" in str(error)


@pytest.mark.parametrize("key", [".netrc", "a..b", "a..", "-", "_", "0", "a" * 253, "." + "a" * 252])
def test_odd_key_that_a_secret_can_have_is_taken(key: str) -> None:
    assert problem_of(data={key: "x"}) is None


METADATA_KEYS = [
    "",
    "a/b/c",
    "/a",
    "a/",
    "-a",
    "a-",
    "a b",
    "A.example.com/a",
    "-.com/a",
    "a..b/c",
    "a" * 64,
    "ü",
    "a\n",
]

LONG_NAME = ".".join(["a" * 50] * 5)


@pytest.mark.parametrize("place", ["labels", "annotations"])
@pytest.mark.parametrize("key", [*METADATA_KEYS, f"{LONG_NAME}/a"])
def test_label_or_annotation_that_kubernetes_refuses_is_named(place: str, key: str) -> None:
    error = refused_template(**{place: {"ok": "", key: "x"}})
    assert error.field == f"spec.tokenSecret.template.{place}[{printable(key[:253])}]"
    assert "is not a key that Kubernetes accepts" in str(error)


@pytest.mark.parametrize("place", ["labels", "annotations"])
@pytest.mark.parametrize("key", ["a", "A_b.c-1", "example.com/a", "a" * 63, f"{LONG_NAME[:253]}/{'a' * 63}"])
def test_odd_label_or_annotation_that_kubernetes_takes_is_taken(place: str, key: str) -> None:
    assert problem_of(**{place: {key: "x"}}) is None


@pytest.mark.parametrize("place", ["labels", "annotations"])
def test_label_or_annotation_of_ours_is_refused_where_the_schema_did_not(place: str) -> None:
    assert "is the operator's own" in str(refused_template(**{place: {"datasource.dev/role": "credential"}}))


@pytest.mark.parametrize("value", ["a b", "-a", "a-", "a" * 64, "ü", "a\n"])
def test_value_that_no_label_can_have_is_named(value: str) -> None:
    error = refused_template(labels={"empty": "", "app": value})
    assert error.field == "spec.tokenSecret.template.labels[app]"
    assert "has a value that no label can have" in str(error)


def test_annotations_larger_than_kubernetes_takes_are_told_in_bytes() -> None:
    # 32 of 4,096 characters fit the schema of v0.1.0; those with four bytes each do not fit an object.
    error = refused_template(annotations={f"key-{number}": "😀" * 4096 for number in range(32)})
    assert "has 524,470 bytes; at most 261,120 are allowed" in str(error)


def test_template_that_makes_too_large_a_secret_of_any_token_is_told_before_there_is_one() -> None:
    error = refused_template(data={"small": "{{ access_token }}", "large": "x" * 400_000})
    assert error.field == "spec.tokenSecret.template.data"
    assert str(error) == (
        "spec.tokenSecret.template.data makes a Secret of 533,346 bytes; at most 524,288 are allowed, keys and base64 "
        "included. Its largest key is large with 533,341 bytes. "
        "Use variables fewer times, take text out, or have the service issue shorter tokens."
    )


def test_captured_field_is_a_variable_of_the_template() -> None:
    template = {"template": {"data": {"where": "{{ captured.instance_url }}"}}}
    captured = {"capturedFields": {"tokenResponse": ["instance_url"]}}
    assert spec(token_secret=template, **captured).token_secret.template.data
    assert spec(token_secret=template, provider="salesforce").oauth2 is not None
    assert refused_template(**template["template"]).field == "spec.tokenSecret.template.data[where]"


def test_template_is_worked_out_once_for_each_spec() -> None:
    broken = spec(token_secret={"template": {"data": {"bad": "{{ refresh_token }}"}}})
    assert template_problem(broken) is template_problem(broken)


def test_template_is_as_large_as_all_its_keys_and_values_in_bytes() -> None:
    template = {"labels": {"a": "bc"}, "annotations": {"d.example/e": "f"}, "data": {"g": "hü"}}
    assert template_size(spec(token_secret={"template": template}).token_secret.template) == 3 + 12 + 4
