"""`python -m datasource_operator.trial_notification`: send one notification that tells of nothing; print whether it arrived.

For `kubectl datasource doctor`, which runs it in the operator's pod: what counts is what that pod reaches, with its key and its
proxies. One line of JSON goes to stdout; the exit code is 0 only where the receiver took it.
"""

import asyncio
import os
import secrets
import sys

import msgspec

from datasource.outbound.printable import printable
from datasource.outbound.webhook_signature import InvalidKeys, WebhookKeys
from datasource.process.clock import utc_now
from datasource.process.settings import InvalidSettings, Notify, Settings, settings_in
from datasource_operator.decisions.notices import event_of_a_test
from datasource_operator.notifier import deliver, transport_to


class Tested(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of it."""

    delivered: bool
    receiver: str = ""
    """Its host."""
    id: str = ""
    why: str = ""
    """Why it was not delivered."""


def main() -> None:
    """Send it, print what came of it, and exit."""
    try:
        tested = asyncio.run(send_test(settings_in(os.environ)))
    except InvalidSettings as error:
        tested = Tested(False, why=str(error))
    sys.stdout.write(f"{msgspec.json.encode(tested).decode()}\n")
    sys.exit(0 if tested.delivered else 1)


async def send_test(settings: Settings) -> Tested:
    """Send one to the receiver of an installation."""
    notify = settings.notify
    if notify is None:
        return Tested(False, why="DATASOURCE_NOTIFY_URL is not set")
    try:
        keys = WebhookKeys.read(await asyncio.to_thread(notify.secret_file.read_text))
    except (OSError, InvalidKeys, UnicodeDecodeError) as error:
        return Tested(False, notify.host, why=f"DATASOURCE_NOTIFY_SECRET_FILE cannot be read: {printable(str(error))}")
    return await _sent(settings, notify, keys)


async def _sent(settings: Settings, notify: Notify, keys: WebhookKeys) -> Tested:
    id_, now = secrets.token_hex(16), utc_now()
    body = event_of_a_test(
        id_,
        namespace=settings.system_namespace,
        source=settings.external_url,
        cluster=settings.branding.cluster_name,
        now=now,
    )
    async with transport_to(notify, settings.proxies) as transport:
        why = await deliver(transport, notify.url, keys, id_, body, now)
    return Tested(not why, notify.host, id_, why)


if __name__ == "__main__":
    main()
