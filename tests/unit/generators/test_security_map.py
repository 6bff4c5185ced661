"""Every requirement, threat and advisory names tests that there are, and the pages say what the map says."""

import re

import pytest

from generators.security_map import BEGIN, PAGE, POLICY, Row, collected, page, policy, read

SECURITY = read()
TESTS = collected()
"""Once: every file of tests is read for it."""

ADVISORIES = {
    *("CVE-2025-68158", "CVE-2026-41425", "CVE-2026-48710", "CVE-2026-33757", "CVE-2026-33758", "CVE-2025-62800"),
    *("CVE-2023-27490", "CVE-2022-31186", "CVE-2026-92804", "CVE-2026-54305", "CVE-2022-39222", "CVE-2023-40029"),
    *("CVE-2026-54605", "CVE-2026-83589"),
}


def test_every_requirement_and_advisory_has_a_row() -> None:
    assert [row.id for row in SECURITY.of("requirement")] == [str(number) for number in range(1, 19)]
    assert {row.id for row in SECURITY.of("advisory")} == ADVISORIES


@pytest.mark.parametrize("row", SECURITY.rows, ids=[row.name for row in SECURITY.rows])
def test_every_row_has_a_test_or_says_what_it_waits_for(row: Row) -> None:
    assert row.tests or row.name in SECURITY.waiting


def test_nothing_waits_that_is_no_row() -> None:
    assert set(SECURITY.waiting) <= {row.name for row in SECURITY.rows}


def test_every_test_that_is_named_is_there() -> None:
    named = {test for row in SECURITY.rows for test in row.tests}
    assert named - TESTS == set()


@pytest.mark.parametrize("row", SECURITY.of("advisory"), ids=[row.id for row in SECURITY.of("advisory")])
def test_case_of_an_advisory_says_so_in_its_name(row: Row) -> None:
    number = row.id.lower().replace("-", "_")
    assert any(number in test for test in row.tests)


def test_every_case_of_an_advisory_is_in_the_map() -> None:
    cases = {test for test in TESTS if re.search(r"_cve_\d{4}_\d+", test)}
    assert cases <= {test for row in SECURITY.rows for test in row.tests}


@pytest.mark.parametrize("row", SECURITY.of("threat"), ids=[row.id for row in SECURITY.of("threat")])
def test_every_threat_says_what_holds_it(row: Row) -> None:
    assert row.says
    assert row.held_by


def test_pages_are_up_to_date() -> None:
    assert PAGE.read_text() == page(SECURITY), "run make docs"
    assert POLICY.read_text() == policy(SECURITY, POLICY.read_text()), "run make docs"


def test_page_whose_marks_are_gone_is_not_written_over() -> None:
    with pytest.raises(ValueError, match="has no"):
        policy(SECURITY, "# Security\n")
    with pytest.raises(ValueError, match="has no"):
        policy(SECURITY, f"# Security\n{BEGIN}\n")
