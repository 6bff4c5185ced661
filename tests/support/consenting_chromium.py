"""`python -m tests.support.consenting_chromium LINK`: Chromium as $BROWSER, and a person who consents in it."""

import sys

from deploy.local.browser import authorize, chromium
from deploy.local.provider import DEMO_LOGIN, DEMO_PASSWORD

if __name__ == "__main__":
    with chromium() as browser:
        authorize(browser.new_page(), sys.argv[1], DEMO_LOGIN, DEMO_PASSWORD)
