"""What is generated from deploy/base is up to date; versions and licenses agree."""

import tomllib

import yaml

from deploy.local.cache import REPOSITORY
from generators.manifests import CHART, INSTALL_YAML, install_yaml, stale_chart_files

REMEDY = "run `make manifests` and commit what it writes"


def test_files_of_the_chart_are_those_of_base() -> None:
    assert {str(path.relative_to(REPOSITORY)) for path in stale_chart_files()} == set(), REMEDY


def test_install_yaml_is_the_overlay_for_all_namespaces() -> None:
    """As objects: another version of kubectl may lay out YAML in another way."""
    committed, fresh = (list(yaml.safe_load_all(text)) for text in (INSTALL_YAML.read_text(), install_yaml()))
    assert committed == fresh, REMEDY


def test_chart_image_and_package_have_one_version() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    images = {
        container["image"]
        for each in yaml.safe_load_all(INSTALL_YAML.read_text())
        if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    assert {chart["version"], chart["appVersion"]} == {project["version"]}
    assert images == {f"datasource-operator:{project['version']}"}


def test_chart_and_package_name_the_license_that_stands_beside_them() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert {project["license"], chart["annotations"]["artifacthub.io/license"]} == {"Apache-2.0"}
    (text,) = (REPOSITORY / name for name in project["license-files"])
    assert text.read_text().split()[:4] == ["Apache", "License", "Version", "2.0,"]
