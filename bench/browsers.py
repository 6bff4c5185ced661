"""What the browsers of many people are to a bench: one session, in which each says its own cookies."""

import aiohttp


def session_of_browsers() -> aiohttp.ClientSession:
    """A new one; whoever takes it closes it."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=256),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=60),
    )
