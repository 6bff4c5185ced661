"""`python -m bench.journal_window`: how long a reply is in memory alone, from the end of its message to its entry.

A process that is killed within that time loses a strict provider's rotation; docs/reliability.md has what came of it.
"""

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from datasource.api.requests import Requests
from datasource.api.spec import OAuth2
from datasource.outbound.provider_request import Reply
from datasource.process.journal import Journal, open_journal
from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.intent import Intent
from datasource.records.journal_entry import RecordedReply, RefreshEntry, encode_entry, place_of
from datasource.records.turn import Turn

RUNS = 5_000
BODY = b'{"access_token": "%s", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "%s"}' % (
    b"a" * 1500,
    b"r" * 500,
)


def main() -> None:
    """Print the distribution in microseconds."""
    now = datetime.now(UTC)
    intent = Intent("0a", "process", "pod", now, journal=True)
    facts = CredentialFacts(
        "credential", fingerprint="f", expires_at=now + timedelta(hours=1), refreshed_at=now, intent=intent
    )
    data = CredentialData("a" * 1500, "Bearer", "https://login.example.com/token", "f", "app", refresh_token="r" * 500)
    turn = Turn("shop", "calendar", facts, intent, "7", Requests(), data)
    # In memory, as deploy/ has it, where there is such a place.
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of our own is made in it
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        journal = open_journal(folder)
        took = sorted(_once(journal, turn, now) for _ in range(RUNS))
        journal.close()
    for share in (0.5, 0.99, 0.999, 1.0):
        print(f"{share:.1%} within {took[min(int(share * RUNS), RUNS - 1)] * 1e6:.0f} microseconds")


def _once(journal: Journal, turn: Turn, now: datetime) -> float:
    began = time.perf_counter()
    reply = RecordedReply.of(Reply(200, {}, BODY), is_whole=True, sent_at=now, received_at=now)
    content = encode_entry(RefreshEntry.of(turn, OAuth2(), reply))
    entry = journal.write(turn.namespace, place_of(turn.namespace, turn.name), "0a", content)
    took = time.perf_counter() - began
    if entry is not None:
        journal.remove(entry)
    return took


if __name__ == "__main__":
    main()
