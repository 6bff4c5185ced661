"""A word that a person can quote and the platform team finds in the log. Pure."""

from collections.abc import Callable

from datasource.records.flow import Flow

_LENGTH = 10
"""Hex digits: few enough to read aloud, and too many to be the same twice in a log."""


def new_reference(token_bytes: Callable[[int], bytes]) -> str:
    """One for a page."""
    return token_bytes(_LENGTH // 2).hex()


def reference_of(flow: Flow) -> str:
    """That of an authorization that ended. It is no secret: the claim becomes the credential's ID."""
    return (flow.claim or "")[:_LENGTH]
