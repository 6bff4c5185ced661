"""What the checks of `doctor` come to."""

from kubectl_datasource.checks import Check, Verdict, worst


def test_worst_verdict_counts_and_what_is_unknown_does_not() -> None:
    def of(*verdicts: Verdict) -> Verdict:
        return worst(Check("c", verdict, "") for verdict in verdicts)

    assert of(Verdict.OK, Verdict.UNKNOWN) is Verdict.OK
    assert of(Verdict.WARNING, Verdict.OK) is Verdict.WARNING
    assert of(Verdict.WARNING, Verdict.FAILED) is Verdict.FAILED
