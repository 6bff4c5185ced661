"""Which Datasource a path names, as far as there can be one of that name."""

import pytest
from starlette.requests import Request

from callback_server.named_place import named_place, place_of
from callback_server.refusals import Refused


def request_for(**parts: str) -> Request:
    return Request({"type": "http", "path_params": parts})


def test_namespace_and_name_are_told() -> None:
    request = request_for(namespace="shop", name="calendar")
    assert place_of(request) == named_place(request) == ("shop", "calendar")


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"namespace": "x" * 64, "name": "calendar"}, (None, "calendar")),
        ({"namespace": "shop", "name": "Calendar"}, ("shop", None)),
        ({"namespace": "shop/..", "name": "a b"}, (None, None)),
    ],
)
def test_what_none_can_have_is_refused_and_remembered_by_no_limit(
    parts: dict[str, str], named: tuple[str | None, str | None]
) -> None:
    with pytest.raises(Refused):
        place_of(request_for(**parts))
    assert named_place(request_for(**parts)) == named


def test_path_that_names_none_is_counted_for_none() -> None:
    assert named_place(request_for()) == (None, None)
