"""A sign-in under way. All of it is in a cookie for ten minutes, so strangers cannot make us store anything. Pure.

The browser may read the cookie, because it holds only this one sign-in of this one browser. Only we can make one, because it
has a mark by the link keys. An attacker could try to put one of ours into another person's browser. The checks in `cookie.py`
prevent that.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from callback_server.cookie import OurCookie, cookie_hash
from datasource.api.clock import Moment
from datasource.oauth2.authorize import new_secret
from datasource.outbound.json_text import read_json
from datasource.records.link_keys import MARK_LENGTH, LinkKeys, Origin, Purpose

LIFETIME = timedelta(minutes=10)

SIGN_IN = OurCookie("__Host-datasource-sign-in", re.compile(rb"[A-Za-z0-9_-]{1,3000}"), LIFETIME)


class UnderWay(msgspec.Struct, frozen=True, rename="camel"):
    """One sign-in."""

    state: str
    nonce: str
    code_verifier: str
    browser: str
    """Hash of the browser's cookie."""
    leads_to: str
    """The path of our page that the sign-in leads to."""
    expires_at: Moment

    def __repr__(self) -> str:
        return f"UnderWay({self.leads_to})"

    def is_answered_by(self, state: str | None) -> bool:
        """Compare in constant time the `state` that came back."""
        return state is not None and hmac.compare_digest(state.encode(), self.state.encode())

    @property
    def short_name(self) -> str:
        """The name of this sign-in for rate limits: SHA-256 of the `state`, hex."""
        return hashlib.sha256(self.state.encode()).hexdigest()


def begun(browser: str, leads_to: str, now: datetime, token_bytes: Callable[[int], bytes]) -> UnderWay:
    """Make a new sign-in for the browser with that cookie."""
    return UnderWay(
        state=new_secret(token_bytes),
        nonce=new_secret(token_bytes),
        code_verifier=new_secret(token_bytes),
        browser=cookie_hash(browser),
        leads_to=leads_to,
        expires_at=now + LIFETIME,
    )


def sealed(under_way: UnderWay, keys: LinkKeys, now: datetime) -> str | None:
    """The value of the cookie; None where there is no key to mark it with."""
    key = keys.for_links(now)
    if key is None:
        return None
    text = urlsafe_b64encode(msgspec.json.encode(under_way)).decode().rstrip("=")
    return text + key.mark(Purpose.SIGN_IN, text)


def opened(value: str, keys: LinkKeys, now: datetime) -> UnderWay | None:
    """The sign-in in a cookie; None where we did not make the cookie, or it has expired."""
    text, mark = value[:-MARK_LENGTH], value[-MARK_LENGTH:]
    if keys.origin(Purpose.SIGN_IN, text, mark, now) is not Origin.OURS:
        return None
    try:
        found = read_json(urlsafe_b64decode(text + "=" * (-len(text) % 4)), UnderWay)
    except (ValueError, msgspec.MsgspecError):
        # Another version of the callback server made it.
        return None
    return found if now < found.expires_at else None
