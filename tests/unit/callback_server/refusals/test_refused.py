"""Kinds of refusals, by which metrics and logs count."""

import inspect
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from callback_server import refusals
from callback_server.refusals import Kind, Refused
from datasource.cluster.page_requests import NotAsked
from datasource.oauth2.errors import InvalidGrant
from datasource.oauth2.kubernetes_user import Why


def test_label_of_a_kind_is_one_word() -> None:
    for kind in Kind:
        assert re.fullmatch("[a-z0-9_]+", kind)


def test_command_names_the_datasource_of_the_visitor_s_own_url() -> None:
    shown = refusals.link_has_ended().about("shop", "calendar").command
    assert shown == "kubectl get dsrc calendar -n shop -o jsonpath='{.status.authorizationLink}'"
    assert refusals.unknown_flow().about("shop", "calendar").command is None


SAID_BY_THE_BROWSER = {"consent_was_denied", "refused_without_state", "sign_in_was_refused"}
"""Refusals that are made of an error that came back in a query."""


REASONS = {"nothing_to_ask": NotAsked.REPLACED, "sign_in_names_nobody": Why.NO_NAME}


def every_refusal() -> list[Refused]:
    """One of each that takes no argument, or a few words."""
    made = list[Refused]()
    for name in refusals.__all__:
        make = getattr(refusals, name)
        if not inspect.isfunction(make):
            continue
        examples: dict[str, Any] = {
            "retry_after": timedelta(seconds=1),
            "expected": {"email": "ada@example.com"},
            "why": REASONS.get(name, "a word"),
            "verb": "get",
            "error": "access_denied" if name in SAID_BY_THE_BROWSER else InvalidGrant("x"),
        }
        needed = [
            each for each in inspect.signature(make).parameters.values() if each.default is inspect.Parameter.empty
        ]
        made.append(make(*[examples.get(each.name, "a word") for each in needed]))
    return made


def test_every_page_says_first_what_the_person_can_do_and_names_no_field_and_no_command() -> None:
    for refused in every_refusal():
        assert refused.advice, refused.kind
        assert not re.search(r"spec\.|kubectl|status\.|clientID|Secret", refused.advice), refused.kind


def test_sentences_are_short_enough_to_be_read_aloud() -> None:
    for refused in every_refusal():
        for text in (refused.advice, refused.message):
            for sentence in re.split(r"(?<=[.:;])\s", text):
                assert len(sentence.split()) <= 25, sentence


def test_each_kind_belongs_to_one_refusal() -> None:
    """Discovery that is down and a token endpoint that is down are two series."""
    source = "".join(module.read_text() for module in sorted(Path(refusals.__file__).parent.glob("*.py")))
    named = re.findall(r"\bKind\.(\w+)", source)
    assert sorted(named) == sorted(kind.name for kind in Kind)
