"""install.yaml gets its settings, and nothing else of it changes."""

import yaml

from deploy.local.node.product import INSTALL_YAML, settings, with_settings


def test_only_the_settings_of_both_processes_change() -> None:
    text = INSTALL_YAML.read_text()
    before = [each for each in yaml.safe_load_all(text) if each]
    after = with_settings(text, settings("http://localhost:1"))
    (changed,) = (new for old, new in zip(before, after, strict=True) if old != new)
    assert changed["kind"] == "ConfigMap"
    assert changed["data"]["DATASOURCE_EXTERNAL_URL"] == "http://localhost:1"
    assert changed["data"]["DATASOURCE_SYSTEM_NAMESPACE"] == "datasource-system"
