"""Calls an API with the mounted token, and survives what happens to apps: a 401, an outage, a token that is not there yet.

The file is read for each request: kubelet replaces its content while the app runs.
"""

import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

TOKEN_FILE = Path(os.environ.get("TOKEN_FILE", "/credential/access_token"))
URL = os.environ.get("API_URL", "https://api.example.com/calendar/v3/events")
INTERVAL = float(os.environ.get("INTERVAL", "60"))
LONGEST_PAUSE = 300.0


class NoToken(Exception):
    """Nobody has authorized yet, or the credential was cleared."""


def token() -> str:
    """The token that is mounted now."""
    try:
        found = TOKEN_FILE.read_text().strip()
    except FileNotFoundError:
        found = ""
    if not found:
        raise NoToken(f"there is no token in {TOKEN_FILE} yet")
    return found


def get(url: str, access_token: str) -> bytes:
    """One request."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {access_token}"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return bytes(response.read())


def call(url: str) -> bytes:
    """With the token of now. After a 401 once more, if there is another one by then: it may have been replaced in between."""
    first = token()
    try:
        return get(url, first)
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise
        second = token()
        if second == first:
            raise
        return get(url, second)


def main() -> None:
    """Each failure doubles the pause; a success ends that."""
    pause = INTERVAL
    while True:
        try:
            print(call(URL).decode(), flush=True)
            pause = INTERVAL
        except (OSError, NoToken) as error:  # HTTP errors and timeouts are OSErrors, too
            print(f"{error}; next try in {pause:g} s", file=sys.stderr, flush=True)
            time.sleep(pause)
            pause = min(2 * pause, max(LONGEST_PAUSE, INTERVAL))
            continue
        time.sleep(INTERVAL)


if __name__ == "__main__":
    main()
