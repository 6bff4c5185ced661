"""What a tenant tells the person who consents, read from the spec."""

from datasource.api.display import Display
from datasource.api.spec_problems import parse_spec
from tests.unit.datasource.builders import raw_spec


def test_words_of_the_tenant_are_read_and_may_all_be_missing() -> None:
    written = {
        "title": "Room display",
        "purpose": "Shows free rooms.",
        "owner": "Team Facilities",
        "contact": "ext. 12",
    }
    read = parse_spec(raw_spec() | {"display": written}, allow_insecure_http=False)
    assert read.display == Display("Room display", "Shows free rooms.", "Team Facilities", "ext. 12")
    assert parse_spec(raw_spec(), allow_insecure_http=False).display == Display()


def test_words_of_the_tenant_end_no_link() -> None:
    """They are no parameters: the ticket of a link is bound to those alone."""
    written = parse_spec(raw_spec() | {"display": {"title": "Room display"}}, allow_insecure_http=False)
    assert written.oauth2 == parse_spec(raw_spec(), allow_insecure_http=False).oauth2
