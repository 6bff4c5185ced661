"""By which certificate authorities a provider is trusted: those of the system, and a bundle of the Datasource's own. And what
a provider may have us do until a connection stands."""

import ssl

LARGEST_BUNDLE = 65_536
"""Characters; a certificate takes about 2,000."""


_COSTLY = "DHE-"
"""Key exchange over a prime that the server makes up: one of 10,000 bits takes a second, in which nothing else goes on. Every
server of today has elliptic curves, and TLS 1.3."""


class UnusableBundle(ValueError):
    """A CA bundle that cannot be used; the text reads on after the name of the field."""


def check_bundle(pem: str) -> None:
    """Check a CA bundle.

    Raises:
        UnusableBundle: it is no PEM with certificates, too long, or holds a private key.
    """
    if len(pem) > LARGEST_BUNDLE:
        raise UnusableBundle(f"is longer than {LARGEST_BUNDLE} characters")
    if "PRIVATE KEY-----" in pem:
        raise UnusableBundle("holds a private key, which everybody who may read it has now")
    add_bundle(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), pem)


def add_bundle(context: ssl.SSLContext, pem: str) -> None:
    """Trust the authorities of a bundle, too.

    Raises:
        UnusableBundle: a certificate in it cannot be read, or there is none.
    """
    try:
        # Between certificates people write the names of authorities, in any script.
        context.load_verify_locations(cadata=pem.encode("ascii", "replace").decode())
    except (ssl.SSLError, ValueError):
        # ValueError: empty.
        raise UnusableBundle("is not a list of certificates in PEM") from None


def leave_out_costly_ciphers(context: ssl.SSLContext) -> None:
    """Offer no cipher suite with which a server may keep us busy."""
    names = [str(cipher["name"]) for cipher in context.get_ciphers()]
    # Those of TLS 1.3 have a setting of their own, which stays.
    context.set_ciphers(":".join(name for name in names if not name.startswith((_COSTLY, "TLS_"))))
