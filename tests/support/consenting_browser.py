"""`python -m tests.support.consenting_browser LINK`: a browser, as far as $BROWSER needs one, whose person consents."""

import sys

from tests.support.person import Person

if __name__ == "__main__":
    with Person() as person:
        person.authorize(sys.argv[1])
