from datasource.api.states import Reason
from kubectl_datasource.listing import UNSEEN, as_json, by_place, is_past, table, when
from kubectl_datasource.objects import Datasource
from tests.unit.kubectl_datasource.builders import LINK, NOW, datasource


def lines_of(*datasources: Datasource, wide: bool = False, namespaces: bool = False) -> list[str]:
    lines = table(datasources, NOW, namespaces=namespaces, wide=wide)
    return ["".join(cell.text for cell in line).rstrip() for line in lines]


def test_datasources_are_sorted_by_namespace_then_by_name() -> None:
    unsorted = [datasource(namespace=space, name=name) for space, name in [("b", "a"), ("a", "z"), ("a", "b")]]
    assert [each.place for each in by_place(unsorted)] == ["a/b", "a/z", "b/a"]


def test_expiry_is_shown_absolute_and_relative() -> None:
    line = lines_of(datasource(expiresAt="2026-07-01T12:42:00Z", authorizedAs="ada@example.com"))[1]
    columns = [part.strip() for part in line.split("   ")]
    assert columns == ["calendar", "AUTHORIZED", "True", "2026-07-01T12:42:00Z (in 42m)", "ada@example.com"]


def test_datasource_that_nobody_looked_at_yet_says_so() -> None:
    assert UNSEEN in lines_of(datasource(None))[1]


def test_wide_adds_reason_and_url_and_all_namespaces_the_namespace() -> None:
    header, line = lines_of(datasource(Reason.GRANT_REVOKED), wide=True, namespaces=True)
    assert header.startswith("NAMESPACE")
    assert line.startswith("shop")
    assert "GrantRevoked" in line
    assert line.endswith("https://api.example.com")


def test_escape_sequences_in_a_status_are_made_visible() -> None:
    line = lines_of(datasource(authorizedAs="\x1b[31mada"))[1]
    assert line.endswith(r"\x1b[31mada")


def test_state_of_a_newer_operator_is_shown_as_it_is() -> None:
    assert "RESTING" in lines_of(datasource(state="RESTING"))[1]


def test_time_that_cannot_be_read_is_shown_as_it_is() -> None:
    assert when("soon", NOW) == "soon"
    assert when("2026-07-01T12:00:00", NOW) == "2026-07-01T12:00:00"


def test_json_tells_that_a_person_is_waited_for_and_not_the_link() -> None:
    told = as_json(datasource(Reason.AUTHORIZATION_REQUIRED, authorizationLink=LINK))
    assert told["waitsForPerson"] is True
    assert "ticket" not in str(told)
    assert told["ready"] is False


def test_what_is_over_is_told_from_what_comes_and_what_cannot_be_read_is_not_over() -> None:
    assert is_past("2026-07-01T11:59:59Z", NOW)
    assert is_past("2026-07-01T12:00:00Z", NOW)
    assert not is_past("2026-07-01T12:00:01Z", NOW)
    assert not is_past("soon", NOW)
    assert not is_past("2026-07-01T12:00:00", NOW)
