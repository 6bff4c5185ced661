"""A small crowd through every trouble of `bench.notifications`: everybody is told, by one id each, and nothing secret is."""

from bench import notifications

CROWD, PER_NAMESPACE = 60, 5


async def test_whatever_the_receiver_does_everybody_is_told_under_one_id_and_no_link_is() -> None:
    rows = {row.scenario: row for row in await notifications.run(CROWD, PER_NAMESPACE)}
    assert set(rows) == set(notifications.SCENARIOS)
    for row in rows.values():
        assert (row.told, row.twice, row.leaks) == (CROWD, 0, 0), row
        assert row.ids == CROWD // PER_NAMESPACE, row
        assert row.taken >= row.ids, row
    # Repeats are what they should be: messages with ids that the receiver knows.
    assert rows["well"].taken == rows["well"].ids
    assert rows["down for five rounds"].requests == rows["down for five rounds"].ids, (
        "nobody was asked while it was down"
    )
    for repeated in ("each fifth answer is lost", "two leaders at once", "all statuses wiped"):
        assert rows[repeated].taken > rows[repeated].ids, repeated


def test_table_has_a_line_for_each_scenario() -> None:
    row = notifications.Row("well", 1_000, 1_000, 1_000, 10_000, 0, 2, 0)
    lines = notifications.table([row]).splitlines()
    assert lines[2] == "| well | 1,000 | 1,000 | 1,000 | 10,000 | 0 | 2 |"
