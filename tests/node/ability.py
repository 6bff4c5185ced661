"""Tests that a machine cannot run say why and are skipped."""

import pytest

from deploy.local.image import build as images
from deploy.local.node import needs


def require_images() -> None:
    """Skip where no image can be built."""
    _require(images.obstacle())


def require_nodes() -> None:
    """Skip where no node can run."""
    _require(needs.obstacle())


def _require(obstacle: str | None) -> None:
    if obstacle is not None:
        pytest.skip(f"not on this machine: {obstacle}")
