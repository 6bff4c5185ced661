"""Tests that a machine cannot run say why and are skipped, and the last line of `make test` says so, too.

With REQUIRE_NODES=1 they fail: for a CI whose machines are known to run nodes.
"""

import os

import pytest

from deploy.local.image import build as images
from deploy.local.node import needs


def require_images() -> None:
    """Skip where no image can be built."""
    require(images.obstacle())


def require_nodes() -> None:
    """Skip where no node can run."""
    require(needs.obstacle())


def require(obstacle: str | None) -> None:
    """Skip where there is an obstacle."""
    if obstacle is None:
        return
    if os.environ.get("REQUIRE_NODES"):
        pytest.fail(f"REQUIRE_NODES is set, and this machine cannot: {obstacle}", pytrace=False)
    pytest.skip(f"not on this machine: {obstacle}")
