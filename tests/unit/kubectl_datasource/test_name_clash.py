"""Whether kubectl may take KubeVirt's resource for ours."""

from dataclasses import replace

from kubectl_datasource.findings import Untold
from kubectl_datasource.name_clash import names_are_clear
from tests.unit.kubectl_datasource.installed import SOUND


def test_beside_kubevirt_the_name_to_write_is_told() -> None:
    (found,) = names_are_clear(replace(SOUND, groups=frozenset({"cdi.kubevirt.io"})))
    assert "dsrc" in found.detail


def test_without_it_there_is_nothing_to_tell() -> None:
    assert list(names_are_clear(SOUND)) == []
    assert list(names_are_clear(replace(SOUND, groups=Untold("forbidden")))) == []
