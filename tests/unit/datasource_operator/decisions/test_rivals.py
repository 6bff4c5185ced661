"""Another installation that writes the same statuses is noticed, and nobody else is taken for one."""

from dataclasses import dataclass, field

from datasource.api.objects import Status
from datasource_operator.decisions.rivals import LEAVE_IT_FOR, TOLERATED, WITHIN, Rivals, another_installation
from tests.unit.datasource_operator.stand_ins import Clock

KEY = "shop/calendar"


def status(host: str, link: str = "") -> Status:
    return Status(redirect_uri=f"https://{host}/callback/shop", authorization_link=link or None)


OURS, THEIRS = status("ours.example.com"), status("theirs.example.com")


@dataclass
class Installation:
    """One that writes what it wants wherever something else stands."""

    wants: Status
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.rivals: Rivals[str] = Rivals(self.clock)
        self.writes = 0

    def meets(self, standing: Status) -> Status:
        """What stands after it."""
        if standing == self.wants or self.rivals.is_left_to_another(KEY, standing):
            return standing
        self.writes += 1
        self.rivals.wrote(KEY, self.wants)
        return self.wants


def test_two_new_installations_come_to_rest_and_one_of_them_goes_on() -> None:
    clock = Clock()
    one, other = Installation(OURS, clock), Installation(THEIRS, clock)
    standing = Status()
    for _ in range(100):
        standing = other.meets(one.meets(standing))
    assert (one.rivals.left, other.rivals.left) in {(1, 0), (0, 1)}
    assert one.writes + other.writes <= 2 * TOLERATED + 1
    winner = other if one.rivals.left else one
    assert standing == winner.wants


def test_one_beside_an_older_version_that_never_rests_stops() -> None:
    one = Installation(OURS)
    for _ in range(100):
        one.meets(THEIRS)
    assert one.writes == TOLERATED
    assert one.rivals.is_left_to_another(KEY, THEIRS)


def test_now_and_then_it_is_tried_once_whether_the_other_is_gone() -> None:
    one = Installation(OURS)
    for _ in range(100):
        one.meets(THEIRS)
    one.clock.advance(LEAVE_IT_FOR)
    for _ in range(100):
        one.meets(THEIRS)
    assert one.writes == TOLERATED + 1
    one.clock.advance(LEAVE_IT_FOR)
    assert one.meets(THEIRS) == OURS
    assert one.meets(OURS) == OURS
    assert one.rivals.left == 0


def test_one_who_alters_a_status_long_after_the_other_is_gone_is_no_installation() -> None:
    one = Installation(OURS)
    for _ in range(100):
        one.meets(THEIRS)
    one.clock.advance(LEAVE_IT_FOR)
    assert one.meets(THEIRS) == OURS
    one.clock.advance(WITHIN)
    assert one.meets(THEIRS) == OURS
    assert one.rivals.left == 0


def test_installations_with_one_url_and_other_links_are_noticed() -> None:
    one = Installation(status("ours.example.com", "https://ours.example.com/authorize/shop/calendar?ticket=1"))
    theirs = status("ours.example.com", "https://ours.example.com/authorize/shop/calendar?ticket=2")
    for _ in range(10):
        one.meets(theirs)
    assert one.rivals.left == 1
    assert "the same external URL, and other links" in another_installation("shop", theirs, one.wants)


def test_an_external_url_that_was_changed_is_written_into_each_status_once() -> None:
    one = Installation(OURS)
    for _ in range(3):
        assert one.meets(THEIRS if one.writes == 0 else OURS) == OURS
    assert (one.writes, one.rivals.left) == (1, 0)


def test_a_status_that_is_wiped_again_and_again_comes_back() -> None:
    one = Installation(OURS)
    for _ in range(20):
        assert one.meets(Status()) == OURS


def test_somebody_who_alters_it_now_and_then_is_no_installation() -> None:
    one = Installation(OURS)
    for _ in range(20):
        assert one.meets(THEIRS) == OURS
        one.clock.advance(WITHIN / (TOLERATED - 1))
    assert one.rivals.left == 0


def test_what_another_leader_of_ours_wrote_is_no_other_installation() -> None:
    one = Installation(OURS)
    for _ in range(20):
        assert one.meets(THEIRS) == OURS
        one.rivals.begin_anew()


def test_it_is_told_once_each_time_that_a_status_is_left() -> None:
    one = Installation(OURS)
    for _ in range(10):
        one.meets(THEIRS)
    assert [one.rivals.is_news(KEY) for _ in range(3)] == [True, False, False]
    one.clock.advance(LEAVE_IT_FOR)
    for _ in range(2):
        one.meets(THEIRS)
    assert one.rivals.is_news(KEY)


def test_nothing_of_a_datasource_that_is_gone_is_kept() -> None:
    one = Installation(OURS)
    for _ in range(10):
        one.meets(THEIRS)
    one.rivals.forget(KEY)
    assert one.rivals.left == 0
    assert one.meets(THEIRS) == OURS


def test_the_message_names_both_redirect_uris_and_what_to_do() -> None:
    words = another_installation("shop", THEIRS, OURS)
    assert "https://theirs.example.com/callback/shop" in words
    assert "https://ours.example.com/callback/shop" in words
    assert "DATASOURCE_NAMESPACES" in words
