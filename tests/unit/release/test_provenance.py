"""What a release says of how it came to be."""

from dataclasses import replace

from release.provenance import statement
from release.settings import Settings

SETTINGS = Settings(
    key="/home/ada/release.key",
    key_password="hunter2",
    image="/tmp/image.tar",  # noqa: S108
    base="python:3.11-slim@sha256:" + "a" * 64,
    source="https://example.com/x",
)


def test_every_file_is_a_subject_by_digest() -> None:
    made = statement({"b": "2", "a": "1"}, SETTINGS, "c0ffee", {})
    assert made["subject"] == [{"name": "a", "digest": {"sha256": "1"}}, {"name": "b", "digest": {"sha256": "2"}}]
    assert (made["_type"], made["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )


def test_what_went_into_it_is_named_by_digest() -> None:
    built = statement({}, SETTINGS, "c0ffee", {"requirements/run.txt": "3"})["predicate"]["buildDefinition"]
    assert [each["digest"] for each in built["resolvedDependencies"]] == [
        {"gitCommit": "c0ffee"},
        {"sha256": "3"},
        {"sha256": "a" * 64},
    ]


def test_neither_the_key_nor_a_path_of_the_machine_is_repeated() -> None:
    told = str(statement({}, SETTINGS, "c0ffee", {}))
    assert "hunter2" not in told
    assert "/home/ada" not in told
    assert "image.tar" not in told


def test_builder_that_nobody_named_is_said_not_to_be() -> None:
    assert "not-told" in statement({}, Settings(), "c", {})["predicate"]["runDetails"]["builder"]["id"]


def test_base_of_each_platform_is_named() -> None:
    one, other = "python@sha256:" + "a" * 64, "python@sha256:" + "b" * 64
    told = statement({}, replace(SETTINGS, base=f"{one} {other}"), "c" * 40, {})
    uris = told["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [each["digest"]["sha256"] for each in uris if each["uri"].startswith("pkg:docker/")] == ["a" * 64, "b" * 64]
