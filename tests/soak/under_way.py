"""Which refreshes a SIGKILL cut off before their reply was in a journal: what no journal can save (docs/reliability.md)."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from datasource.api.names import Annotation, SecretType, credential_secret_name
from datasource.process.journal_file import is_whole
from datasource.records.journal_entry import place_of
from tests.soak.parameters import TOKEN_LIFETIME
from tests.support.api import SECRETS
from tests.support.user import User


@dataclass
class UnderWay:
    """The refreshes that were under way when a process was killed: those with an intent, and no reply in any journal."""

    user: User
    names: list[str]
    volumes: Path
    """The folder with the volumes of all pods."""
    monotonic: Callable[[], float] = time.monotonic
    count: int = 0
    """How many there were at all kills. One that still waits at the next kill counts once."""
    _hit: dict[str, float] = field(default_factory=dict)
    """By name: when it was."""
    _counted: dict[str, str] = field(default_factory=dict)
    """By name: the intent of the last one that was counted."""

    def strike(self) -> None:
        """Look at what a kill has left, before anything runs again."""
        stored = self.user.all_of(SECRETS, fields=f"type={SecretType.CREDENTIAL}")
        intents = {each["metadata"]["name"]: each["metadata"]["annotations"].get(Annotation.INTENT) for each in stored}
        replies = [path.name for path in self._replies()]
        for name in self.names:
            place = f".{place_of(self.user.namespace, name)}."
            intent = intents.get(credential_secret_name(name))
            if intent is not None and not any(place in reply for reply in replies):
                self._hit[name] = self.monotonic()
                self.count += self._counted.get(name) != intent
                self._counted[name] = intent

    def was_cut_off(self, name: str) -> bool:
        """Whether that explains that a refresh was interrupted; once."""
        at = self._hit.pop(name, None)
        return at is not None and self.monotonic() - at < TOKEN_LIFETIME.total_seconds()

    def _replies(self) -> list[Path]:
        journals = list(self.volumes.glob("*/journal"))
        written = [path for journal in journals for path in journal.glob("*.tmp") if is_whole(path.read_bytes())]
        return [*(path for journal in journals for path in journal.glob("*.entry")), *written]
