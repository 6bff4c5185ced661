"""Who a provider is, for whoever shares places among providers."""

from datasource.outbound.egress import read_host
from datasource.outbound.endpoint import split_url


def provider_of(url: str) -> str:
    """Who answers at a URL: the host as a resolver understands it.

    Whoever writes a URL makes no other provider of a host with a port, a final dot, capitals, or another spelling of an
    address. Empty where the URL names no host: nothing is sent there.
    """
    split = split_url(url)
    host = None if split is None else read_host(split.hostname or "")
    return "" if host is None else str(host)
