"""I/O: what every process has: settings, logs, metrics, probes."""
