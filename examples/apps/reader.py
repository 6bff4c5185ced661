"""Calls an API with the mounted token. The file is read anew for each request: its content changes while the app runs."""

import os
import time
import urllib.request
from pathlib import Path

TOKEN_FILE = Path(os.environ.get("TOKEN_FILE", "/credential/access_token"))
URL = os.environ.get("API_URL", "https://api.example.com/calendar/v3/events")


def call(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN_FILE.read_text()}"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return bytes(response.read())


while True:
    print(call(URL).decode(), flush=True)
    time.sleep(float(os.environ.get("INTERVAL", "60")))
