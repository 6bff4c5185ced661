"""What somebody else wrote is read, or told as what it is, however deep it nests."""

import json
import sys
from collections.abc import Iterator

import msgspec
import pytest

from datasource.api.names import Annotation, Role
from datasource.api.objects import Metadata, PartialObject
from datasource.cluster.answers import object_in
from datasource.outbound.json_text import DEEPEST, read_json
from datasource.records.contents import contents_in
from datasource.records.credential import Unreadable
from datasource.records.stored_token_secret import read_stored

LEVELS = 9_990
"""The API server reads no more than ten thousand, the object around it included."""


@pytest.fixture
def limit_of_our_processes() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(DEEPEST)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"a": 1, "b":' + "[" * 100_000])
def test_what_nests_too_deep_is_no_text_of_ours(text: str) -> None:
    class Known(msgspec.Struct):
        a: int = 0

    with pytest.raises(ValueError, match=r"nests too deep|Expected"):
        read_json(text, Known)


def test_what_fits_is_read() -> None:
    assert read_json('{"a": "b"}', dict[str, str]) == {"a": "b"}


@pytest.mark.parametrize("text", ["[" * 5_000, '{"a":' * 5_000, '{"a":' + "[" * 5_000, '{"":[' * 5_000])
@pytest.mark.parametrize("annotation", list(Annotation))
def test_no_annotation_of_a_tenant_ends_the_watch_of_everybodys_secrets(annotation: str, text: str) -> None:
    """Such an annotation on one credential Secret had the watch fail and begin again for ever."""
    ours: dict[str, str] = {Annotation.DATASOURCE: "calendar", Annotation.ROLE: Role.CREDENTIAL}
    metadata = Metadata("calendar-credential", "shop", "uid-1", "7", annotations={**ours, annotation: text})
    assert isinstance(contents_in(metadata), Unreadable) or annotation not in ours
    assert read_stored(metadata).name == "calendar-credential"


@pytest.mark.usefixtures("limit_of_our_processes")
def test_fields_as_deep_as_the_api_server_stores_them_are_passed_over() -> None:
    """One such Secret in a list or a watch was no answer of the API server, for all that were in it."""
    deep = '{"f:a":' * LEVELS + "{}" + "}" * LEVELS
    text = f'{{"metadata": {{"name": "a", "managedFields": [{{"manager": "m", "fieldsV1": {deep}}}]}}}}'
    assert object_in(text.encode(), PartialObject).metadata.name == "a"
    # kopf reads its events with this.
    assert json.loads(text)["metadata"]["name"] == "a"
