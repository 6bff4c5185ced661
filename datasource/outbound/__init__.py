"""Where requests may go: addresses, proxies, certificates. Pure."""
