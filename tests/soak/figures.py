"""What is measured, what is wanted of it, and a table. Pure."""

from typing import Any

import msgspec

VALID_SHARE = 0.9999


class Figures(msgspec.Struct, frozen=True):
    """Of one run."""

    refreshes: int
    """That the provider answered with new tokens."""
    valid_share: float
    """Of all seconds in which an app expected a token, the share in which it had one that was valid."""
    grants_lost: int
    """How often a credential ended that nobody had cleared, edited or revoked."""
    grants_interrupted: int
    """How often one ended as nobody knows whether the provider had rotated the refresh token, and no kill explains it."""
    refreshes_cut_off: int = 0
    """How many were under way when the leader was killed, and had no reply in a journal."""
    grants_cut_off: int = 0
    """How many of these ended: the provider had rotated the refresh token, and nobody had read its answer."""

    def lost_at_most(self) -> float:
        """The share of refreshes that lose a grant, whatever the reason: what it is at most, with a confidence of 95 %."""
        return upper_bound(self.grants_lost + self.grants_interrupted + self.grants_cut_off, self.refreshes)


def upper_bound(count: int, trials: int) -> float:
    """The exact upper bound of a share (Clopper and Pearson 1934, one-sided, 95 %); 1 where nothing was tried."""
    if count >= trials:
        return 1.0
    low, high = count / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(count, trials, middle) > _ALPHA else (low, middle)
    return high


_ALPHA = 0.05


def _at_most(count: int, trials: int, share: float) -> float:
    """How probable it is that at most `count` of `trials` happen."""
    term = (1.0 - share) ** trials
    total = term
    for number in range(count):
        term *= (trials - number) / (number + 1) * share / (1.0 - share)
        total += term
    return total


def missed(figures: Figures) -> list[str]:
    """What is not as it is wanted, a sentence each."""
    found = []
    if figures.valid_share < VALID_SHARE:
        found.append(f"valid_share is {figures.valid_share:.6f}; wanted is at least {VALID_SHARE}")
    found += [
        f"{name} is {count}; wanted is 0"
        for name, count in (
            ("grants_lost", figures.grants_lost),
            ("grants_interrupted", figures.grants_interrupted),
        )
        if count
    ]
    if not figures.refreshes:
        found.append("refreshes is 0: nothing was shown")
    return found


def table(figures: Figures, disturbances: dict[str, int]) -> str:
    """For people."""
    measured: dict[str, Any] = msgspec.to_builtins(figures)
    lines = [f"{name:20} {value}" for name, value in measured.items()]
    lines.append(f"{'lost_at_most':20} {figures.lost_at_most():.2e} of all refreshes, with a confidence of 95 %")
    return "\n".join([*lines, "", *(f"{count:6}  {name}" for name, count in sorted(disturbances.items()))])
