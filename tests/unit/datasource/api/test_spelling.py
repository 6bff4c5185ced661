"""Fields are spelled in YAML as the CRD spells them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from datasource.api.objects import Status
from datasource.api.spec import OAuth2, PrivateKeyRef, Spec
from datasource.api.spelling import spelled

CRD = Path(__file__).parents[4] / "crds/datasource.yaml"


def schema() -> Any:
    crd = yaml.load(CRD.read_text(), yaml.CSafeLoader)
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


def types() -> Iterator[tuple[Any, Any]]:
    spec, status = schema()["spec"]["properties"], schema()["status"]["properties"]
    oauth2 = spec["oauth2"]["properties"]
    yield Spec, spec
    yield OAuth2, oauth2
    yield PrivateKeyRef, oauth2["privateKeyRef"]["properties"]
    yield Status, status


@pytest.mark.parametrize(("type_", "properties"), list(types()), ids=lambda each: getattr(each, "__name__", ""))
def test_every_field_is_one_of_the_crd(type_: Any, properties: Any) -> None:
    assert set(type_.__struct_encode_fields__) <= set(properties)


@pytest.mark.parametrize(
    ("name", "yaml_name"),
    [
        ("url", "url"),
        ("client_id", "clientID"),
        ("redirect_uri", "redirectURI"),
        ("pushed_authorization_url", "pushedAuthorizationURL"),
        ("ca_bundle_ref", "caBundleRef"),
        ("oauth2", "oauth2"),
        ("fields_v1", "fieldsV1"),
    ],
)
def test_initials_of_a_name_stay_capitals(name: str, yaml_name: str) -> None:
    assert spelled(name) == yaml_name
