"""What is told of all watches of Secrets together."""

from typing import Any, cast

import pytest

from datasource.api.names import SecretType
from datasource_operator.cache import Cache
from datasource_operator.secret_watch import SecretWatch
from datasource_operator.secret_watches import SecretWatches
from datasource_operator.served_scopes import ServedScopes


def watch(secret_type: SecretType, scope: str | None = None, **told: Any) -> SecretWatch:
    made = SecretWatch(cast("Any", object()), Cache(), scope, secret_type, lambda _: None, ServedScopes((scope,)))
    for name, value in told.items():
        setattr(made, name, value)
    return made


def test_the_stalest_watch_is_what_is_told() -> None:
    watches = SecretWatches(
        (
            watch(SecretType.CREDENTIAL, "shop", heard_at=90.0, alive_at=95.0),
            watch(SecretType.CREDENTIAL, "hr", heard_at=40.0, alive_at=99.0),
            watch(SecretType.TOKEN, "shop", heard_at=99.0, alive_at=99.0),
        ),
        lambda: 100.0,
    )
    assert watches.silent_for() == {SecretType.CREDENTIAL: 60.0, SecretType.TOKEN: 1.0}
    assert watches.alive_at() == 95.0


@pytest.mark.parametrize("went_back", [True, False])
def test_one_watch_that_saw_history_go_back_is_enough(went_back: bool) -> None:
    watches = SecretWatches(
        (watch(SecretType.CREDENTIAL), watch(SecretType.TOKEN, history_went_back=went_back)), lambda: 0.0
    )
    assert watches.history_went_back() is went_back
