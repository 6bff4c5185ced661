"""Pure: what every request to a provider shares, and where it may go: addresses, proxies, certificates."""
