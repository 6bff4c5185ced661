"""How long a request is waited for is a setting of whoever asks."""

import asyncio

from datasource.cluster.patience import FOR_A_PAGE, FOR_WORK, PATIENCE, waiting


async def test_patience_is_that_of_the_task_and_what_it_begins_and_of_nobody_else() -> None:
    async def seen() -> object:
        return PATIENCE.get()

    with waiting(FOR_A_PAGE):
        begun = asyncio.create_task(seen())
    assert await begun is FOR_A_PAGE
    assert await asyncio.create_task(seen()) is FOR_WORK


def test_what_must_be_seen_through_is_waited_for_in_the_middle_of_a_page() -> None:
    with waiting(FOR_A_PAGE):
        with waiting(FOR_WORK):
            assert PATIENCE.get() is FOR_WORK
        assert PATIENCE.get() is FOR_A_PAGE


def test_page_never_waits_longer_than_work() -> None:
    assert FOR_A_PAGE.of_silence < FOR_A_PAGE.in_all < FOR_WORK.in_all
