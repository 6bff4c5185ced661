"""What the nodes are told reaches them whole, whatever a path holds."""

import pytest

from deploy.local.node.inside import Run


@pytest.mark.parametrize("folder", ["/run-of-tests", "/with space/and \"quotes'", "/ünï"])
def test_run_survives_a_command_line(folder: str) -> None:
    run = Run(folder, "/datasource-node-7-9", 6443, 2, (f"{folder}/a.tar", "/b.tar"))
    assert Run.decoded(run.encoded()) == run
    assert [place.name for place in run.places] == ["node-1", "node-2"]
