"""Passes notifications on to a chat: verifies the signature, and posts one line of text to an incoming webhook.

    KEY=whsec_... CHAT_URL=https://chat.example.com/hooks/... python relay.py

Needs `pip install standardwebhooks`. Listens on LISTEN_PORT (8080).
Remembers the last thousand ids: a message may come twice.
"""

import json
import os
import urllib.request
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook(os.environ["KEY"])
SEEN: OrderedDict[str, None] = OrderedDict()
LINES = {
    "dev.datasource.person-needed": "A person has to authorize again",
    "dev.datasource.grant-expiring": "A grant is about to end",
    "dev.datasource.test": "A test of notifications, from the operator",
}


class Relay(BaseHTTPRequestHandler):
    """One notification a request."""

    def do_POST(self) -> None:
        """Answer 204 only once the chat has it: what is not taken comes again."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 2**20))
        try:
            event = WEBHOOK.verify(body, dict(self.headers))
        except WebhookVerificationError:
            self.send_error(401)
            return
        if event["id"] not in SEEN:
            post({"text": line_of(event)})
            SEEN[event["id"]] = None
            if len(SEEN) > 1000:
                SEEN.popitem(last=False)
        self.send_response(204)
        self.end_headers()


def line_of(event: dict) -> str:
    """One line: what, where, which ones, whom to ask, and their pages where people sign in."""
    data = event["data"]
    names = ", ".join(
        f"{each['name']} ({each.get('contact') or each['reason']}){' ' + each['page'] if 'page' in each else ''}"
        for each in data["datasources"]
    )
    more = data["count"] - len(data["datasources"])
    return f"{LINES.get(event['type'], event['type'])} in {data['namespace']}: {names}{f' and {more} more' if more else ''}"


def post(message: dict) -> None:
    """To the chat; an error of it is an error of this request."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(os.environ["CHAT_URL"], json.dumps(message).encode(), headers)
    urllib.request.urlopen(request, timeout=5).close()


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("LISTEN_PORT", "8080"))), Relay).serve_forever()
