"""What binds a request to the page that it should come from, and the headers of every answer."""

import hashlib
import hmac
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from callback_server.situation import Situation

_FORM_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")


def token_for(secret: str, *said: str) -> str:
    """What only a page that we showed to whoever holds that secret carries: a cookie's value, and what the page was about."""
    return urlsafe_b64encode(hmac.digest(secret.encode(), "\n".join(said).encode(), "sha256")).decode().rstrip("=")


def token_is_for(presented: str, secret: str, *said: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(presented.encode(), token_for(secret, *said).encode())


def form_token(cookie: str, situation: Situation, ticket: str, *shown: str) -> str:
    """What only a page that we showed to this browser about these very parameters carries.

    `shown` is what else the page said: endpoints that the spec does not tell.
    """
    place = (situation.namespace, situation.name, situation.uid, situation.parameters_hash)
    return token_for(cookie, *place, ticket, *shown)


def is_form_token(text: str) -> bool:
    """Whether a text looks like a form token; what does not is refused without looking anything up."""
    return _FORM_TOKEN.fullmatch(text) is not None


def form_token_fits(presented: str, cookie: str, situation: Situation, ticket: str, *shown: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(presented.encode(), form_token(cookie, situation, ticket, *shown).encode())


def is_from_our_page(headers: Mapping[str, str], external_url: str) -> bool:
    """Whether the browser says that a POST comes from a page of ours (Fetch Metadata; Origin where it does not speak it)."""
    if not is_navigation(headers):
        return False
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    sent_origin = headers.get("origin")
    return sent_origin is None or sent_origin == origin(external_url)


def is_navigation(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that a page is to be shown as such: no script reads it, and no other page holds it.

    An app below another path of our origin could fetch a page of ours, and send its form.
    """
    return (
        headers.get("sec-fetch-mode", "navigate") == "navigate"
        and headers.get("sec-fetch-dest", "document") == "document"
    )


def origin(url: str) -> str | None:
    """The origin of an http(s) URL as browsers write it; None where its host could break out of a header."""
    split = urlsplit(url)
    host = split.netloc.rpartition("@")[2]
    name, port = (host, "") if host.endswith("]") or ":" not in host else host.rsplit(":", 1)
    if split.scheme not in {"http", "https"} or not _HOST.fullmatch(name) or not (port == "" or port.isdecimal()):
        return None
    default = {"http": "80", "https": "443"}[split.scheme]
    return f"{split.scheme}://{name.lower()}" + (f":{port}" if port not in {"", default} else "")


@lru_cache(maxsize=64)
def style_source(css: str) -> str:
    """The CSP source that allows exactly this inline style sheet (CSP Level 3, hash sources)."""
    return "'sha256-" + b64encode(hashlib.sha256(css.encode()).digest()).decode() + "'"


def page_headers(style: str) -> dict[str, str]:
    """Headers of a page; `style` is the CSP source of the style sheet."""
    policy = (
        f"default-src 'none'; style-src {style}; img-src data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    return {"Content-Security-Policy": policy, **ALWAYS}


ALWAYS = {
    # Not no-referrer: that would make the Origin of our own form null.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Headers of every answer."""
