"""`spec.display`: what a tenant tells the person who consents. Pure; the schema holds it to one line of plain text each."""

import msgspec


class Display(msgspec.Struct, frozen=True, omit_defaults=True):
    """Empty: the tenant says nothing, and the page names Datasource and namespace."""

    title: str = ""
    """What the app is called."""
    purpose: str = ""
    owner: str = ""
    """Who asks."""
    contact: str = ""
