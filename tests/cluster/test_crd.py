"""The schema: what the API server refuses, with which words, and what it accepts however odd."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from datasource.api.presets import PRESETS
from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.crds import wait_until_established
from kubectl_datasource.__main__ import run
from kubectl_datasource.creating import OPTIONS, Wanted, example, manifest
from tests.support.user import eventually

pytestmark = pytest.mark.cluster

COMPLETE: dict[str, Any] = {
    "url": "https://api.example.com/rest/v3",
    "oauth2": {
        "clientID": "my-app",
        "clientSecretRef": {"name": "my-app", "key": "client-secret"},
        "authorizeURL": "https://login.example.com/authorize",
        "tokenURL": "https://login.example.com/token",
        "scopes": ["read"],
    },
}

CHOICE = {"parameter": "dc", "value": "eu", "url": "https://eu.example.com/token"}


def changed(path: str, value: object) -> dict[str, Any]:
    """The complete spec with one field set; None takes it out."""
    spec = copy.deepcopy(COMPLETE)
    *parents, last = path.split("/")
    place = spec
    for parent in parents:
        place = place.setdefault(parent, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return spec


def try_to_create(cluster: Cluster, spec: dict[str, Any], name: str = "calendar") -> tuple[bool, str]:
    """Whether the API server would accept it, and what it says."""
    manifest = {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }
    stdin = json.dumps(manifest)
    done = cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=stdin, check=False)
    return done.returncode == 0, done.stderr


LONG_NAME = ".".join(["a" * 50] * 5)


def filled(keys: int, size: int, character: str = "x") -> dict[str, str]:
    """A map of so many keys, with values of so many characters each; a key takes 5 or 6."""
    return {f"key-{number}": character * size for number in range(keys)}


CERTIFICATES = "-----BEGIN CERTIFICATE-----\n"


# field, value, a part of the message that names the field and the remedy
REFUSED = [
    ("display/title", "x" * 65, "spec.display.title: Too long"),
    ("display/purpose", "x" * 257, "spec.display.purpose: Too long"),
    ("display/owner", "a\nb", "spec.display.owner has a line break"),
    ("display/title", "a\u202eb", "spec.display.title has a line break"),
    ("display/contact", "see HTTPS://evil.example", "spec.display.contact must not contain a URL"),
    ("display/purpose", "go to www.evil.example", "spec.display.purpose must not contain a URL"),
    *[
        ("tokenSecret", {"type": type_}, "spec.tokenSecret.type must be Opaque, kubernetes.io/basic-auth")
        for type_ in (
            "opaque",
            "kubernetes.io/tls",
            "kubernetes.io/service-account-token",
            "bootstrap.kubernetes.io/token",
            "x.k8s.io/y",
            "helm.sh/release.v1",
            "datasource.dev/oauth2-token",
            "datasource.dev/oauth2-import",
            "a.datasource.dev/x",
            "Kubernetes.io/basic-auth",
            "localhost/x",
            "example.com/",
            "example.com/a/b",
            "/x",
            "example.com",
            "example.com /x",
        )
    ],
    ("tokenSecret", {"type": ""}, "spec.tokenSecret.type"),
    ("tokenSecret", {"type": "kubernetes.io/basic-auth"}, "asks for the key username or password"),
    (
        "tokenSecret",
        {"type": "kubernetes.io/dockerconfigjson", "template": {"data": {"dockerconfigjson": "{}"}}},
        "asks for the key .dockerconfigjson",
    ),
    ("tokenSecret", {"type": "kubernetes.io/ssh-auth", "template": {"labels": {}}}, "asks for the key ssh-privatekey"),
    ("probe/path", "me", "spec.probe.path must be a path such as /me"),
    ("probe/path", "/a\\b", "spec.probe.path must be a path such as /me"),
    ("probe/path", "/a\r\nHost: evil", "spec.probe.path must be a path such as /me"),
    ("probe/path", "/me#top", "spec.probe.path must be a path such as /me"),
    ("probe/path", "//evil.example.com/me", "spec.probe.path must be below spec.url"),
    ("probe/path", "/../admin", "spec.probe.path must be below spec.url"),
    ("probe/path", "/a/..", "spec.probe.path must be below spec.url"),
    ("probe/path", "/a/..;/b", "spec.probe.path must be below spec.url"),
    ("probe/path", "/%2e%2e/admin", "spec.probe.path must be below spec.url"),
    ("probe/path", "/%252e/admin", "spec.probe.path must be below spec.url"),
    ("probe/interval", "30s", "spec.probe.interval must be from 1m to 24h"),
    ("probe/interval", "25h", "spec.probe.interval must be from 1m to 24h"),
    ("url", None, "spec.url: Required value"),
    ("url", "", "spec.url"),
    ("url", "api.example.com", "spec.url must be an absolute URL such as"),
    ("url", "ftp://api.example.com", "spec.url must be an absolute URL such as"),
    ("url", "https://user:word@api.example.com", "spec.url must have no user name"),
    ("url", "https://api.example.com/#top", "spec.url must have no user name, password or fragment"),
    ("type", "FILE", "spec.type: Unsupported value"),
    ("deletionPolicy", "Keep", "spec.deletionPolicy: Unsupported value"),
    ("oauth2/expectedIdentity", {"sub": "ada"}, "spec.oauth2.expectedIdentity cannot be checked without an issuer"),
    (
        "oauth2",
        {**COMPLETE["oauth2"], "issuer": "https://login.example.com", "expectedIdentity": {"sub": "ada"}},
        "add openid to spec.oauth2.scopes",
    ),
    ("oauth2/expectedIdentity", {"nonce": "1"}, "spec.oauth2.expectedIdentity names a claim that differs each time"),
    ("oauth2/expectedIdentity", {"": "ada"}, "spec.oauth2.expectedIdentity names a claim that is empty"),
    ("oauth2/clientID", "", "spec.oauth2.clientID"),
    ("oauth2/clientID", "tab\there", "spec.oauth2.clientID"),
    ("oauth2/clientSecretRef", {"key": "client-secret"}, "spec.oauth2.clientSecretRef.name: Required value"),
    ("oauth2/clientSecretRef", {"name": "Not_A_Name"}, "spec.oauth2.clientSecretRef.name"),
    ("oauth2/clientSecretRef", {"name": "x-oauth2-credential"}, "must not name a Secret that keeps tokens"),
    (
        "oauth2/clientSecretRef",
        {"name": "app", "namespace": "other"},
        'unknown field "spec.oauth2.clientSecretRef.namespace"',
    ),
    ("oauth2/clientSecretRef", {"name": "calendar-token"}, "set spec.tokenSecret.name, or rename the client Secret"),
    ("oauth2/authorizeURL", "login.example.com", "spec.oauth2.authorizeURL must be an absolute URL such as"),
    ("oauth2/authorizeURL", "javascript:alert(1)", "spec.oauth2.authorizeURL must be an absolute URL such as"),
    ("oauth2/authorizeURL", "https://u:p@login.example.com/a", "spec.oauth2.authorizeURL must have no user name"),
    ("oauth2/authorizeURL", "https://login.example.com/a#b", "spec.oauth2.authorizeURL must have no user name"),
    ("oauth2/authorizeURL", "https://login.example.com/a?state=1", "must not set client_id, redirect_uri, state"),
    ("oauth2/authorizeURL", "https://login.example.com/a?x=1&request_uri=y", "must not set client_id, redirect_uri"),
    *[
        (f"oauth2/{field}", f"https://login.example.com/a?x=1&{name}=y", f"spec.oauth2.{field} must not have a secret")
        for field in ("tokenURL", "refreshURL", "revocationURL", "pushedAuthorizationURL")
        for name in ("client_secret", "refresh_token")
    ],
    (
        "oauth2",
        {
            **COMPLETE["oauth2"],
            "issuer": "https://login.example.com",
            "discoveryURL": "https://login.example.com/a?access_token",
        },
        "spec.oauth2.discoveryURL must not have a secret",
    ),
    (
        "oauth2/tokenURLs",
        [CHOICE | {"url": "https://e.example.com/?code=1"}],
        "spec.oauth2.tokenURLs must not have a secret",
    ),
    (
        "oauth2/tokenURLs",
        [CHOICE | {"revocationURL": "https://e.example.com/?password=1"}],
        "spec.oauth2.tokenURLs must not have a secret",
    ),
    ("oauth2/tokenURL", "/token", "spec.oauth2.tokenURL must be an absolute URL such as"),
    ("oauth2/tokenURL", "https://login.example.com/token#x", "spec.oauth2.tokenURL must have no user name"),
    ("oauth2/revocationURL", "https://a@login.example.com/r", "spec.oauth2.revocationURL must have no user name"),
    ("oauth2/issuer", "https://login.example.com/?x=1", "spec.oauth2.issuer must have no user name, query or fragment"),
    ("oauth2/discoveryURL", "https://login.example.com/meta", "set it to what the tokens name"),
    ("oauth2/discoveryURL", "/meta", "spec.oauth2.discoveryURL must be an absolute URL such as"),
    ("oauth2/discoveryURL", "https://a@login.example.com/m", "spec.oauth2.discoveryURL must have no user name"),
    ("oauth2/tokenURLs", [CHOICE | {"url": "/t"}], "spec.oauth2.tokenURLs must have absolute URLs such as"),
    ("oauth2/tokenURLs", [CHOICE | {"url": "https://a@b.example.com/"}], "URLs without user name, password"),
    ("oauth2/tokenURLs", [CHOICE | {"revocationURL": "/r"}], "must have absolute revocation URLs such as"),
    ("oauth2/tokenURLs", [CHOICE | {"revocationURL": "https://e.example.com/#a"}], "revocation URLs without user name"),
    ("oauth2/tokenURLs", [CHOICE | {"parameter": "state"}], "must not name code, state, iss and the like"),
    ("oauth2/tokenURLs", [CHOICE | {"parameter": "a b"}], "spec.oauth2.tokenURLs[0].parameter"),
    ("oauth2/tokenURLs", [{"parameter": "dc", "value": "eu"}], "spec.oauth2.tokenURLs[0].url: Required value"),
    ("oauth2/tokenURLs", [CHOICE] * 17, "must have at most 16 items"),
    (
        "oauth2",
        {**COMPLETE["oauth2"], "tokenURLs": [CHOICE], "refreshURL": "https://login.example.com/refresh"},
        "spec.oauth2.tokenURLs and refreshURL are both set",
    ),
    ("oauth2/scopes", ["read write"], "Write each scope as an entry of its own"),
    ("oauth2/scopes", ["read", "read"], "Duplicate value"),
    ("oauth2/scopes", "read", "spec.oauth2.scopes"),
    ("oauth2/clientAuthentication", "basic", "spec.oauth2.clientAuthentication: Unsupported value"),
    ("oauth2/clientAuthentication", "none", "leave one of the two out"),
    ("oauth2/pkce", "plain", "spec.oauth2.pkce: Unsupported value"),
    (
        "oauth2/redirectURI",
        "https://x/",
        'Unsupported value: "https://x/": supported values: "PerNamespace", "PerDatasource"',
    ),
    ("oauth2/tokenParameters", {"grant_type": "password"}, "spec.oauth2.tokenParameters must not set grant_type"),
    ("oauth2/tokenParameters", {"client_secret": "x"}, "spec.oauth2.tokenParameters must not set grant_type"),
    ("oauth2/refreshParameters", {"refresh_token": "x"}, "spec.oauth2.refreshParameters must not set grant_type"),
    ("oauth2/refreshParameters", {"": "x"}, "has a name that is empty"),
    ("oauth2/refreshURL", "login.example.com", "spec.oauth2.refreshURL must be an absolute URL such as"),
    ("oauth2/refreshURL", "https://a@login.example.com/r", "spec.oauth2.refreshURL must have no user name"),
    ("oauth2/pushedAuthorizationURL", "/par", "spec.oauth2.pushedAuthorizationURL must be an absolute URL such as"),
    ("oauth2/pushedAuthorization", "always", "spec.oauth2.pushedAuthorization: Unsupported value"),
    ("oauth2/provider", "example", "spec.oauth2.provider: Unsupported value"),
    ("oauth2/scopeSeparator", "and", "spec.oauth2.scopeSeparator: Unsupported value"),
    ("oauth2/bodyFormat", "xml", "spec.oauth2.bodyFormat: Unsupported value"),
    ("oauth2/tokenPath", "a..b", "spec.oauth2.tokenPath"),
    ("oauth2/defaultLifetime", "10s", "spec.oauth2.defaultLifetime is too short: use at least 1m"),
    ("oauth2/maxLifetime", "1d", "spec.oauth2.maxLifetime"),
    ("oauth2/grantLifetime", "30s", "spec.oauth2.grantLifetime is too short: use at least 1m"),
    ("oauth2/grantLifetime", "365d", "spec.oauth2.grantLifetime"),
    ("oauth2/grantIdleLifetime", "1s", "spec.oauth2.grantIdleLifetime is too short: use at least 1m"),
    ("oauth2/grantIdleLifetime", "", "spec.oauth2.grantIdleLifetime"),
    ("oauth2/resource", ["https://api.example.com/#part"], "spec.oauth2.resource[0]"),
    ("oauth2/resource", ["api"], "must be an absolute URI without a fragment, such as https://api.example.com"),
    ("oauth2/errorCodes", {"bad": "slow_down"}, "spec.oauth2.errorCodes"),
    ("oauth2/errorCodes", {"x" * 129: "invalid_grant"}, "spec.oauth2.errorCodes has a code that is empty or longer"),
    ("oauth2/errorCodes", {"": "invalid_grant"}, "spec.oauth2.errorCodes has a code that is empty or longer"),
    ("oauth2/errorRules", [{"means": "temporary"}], "spec.oauth2.errorRules has an entry that matches every reply"),
    ("oauth2/errorRules", [{"status": 400}], "means"),
    ("oauth2/errorRules", [{"status": 400, "means": "slow"}], "means"),
    ("oauth2/errorRules", [{"path": "a..b", "means": "temporary"}], "path"),
    ("oauth2/errorRules", [{"status": 400, "means": "temporary"}] * 17, "spec.oauth2.errorRules"),
    ("oauth2/clientAuthentication", "basic_without_secret", "although clientSecretRef names a secret"),
    ("oauth2/caBundle", CERTIFICATES + "é" * 50_000, "spec.oauth2 is too large"),
    *(
        ("oauth2/tokenHeaders", [{"name": name, "value": "x"}], "spec.oauth2.tokenHeaders must not set Authorization")
        for name in ("Authorization", "HOST", "cookie", "Content-Length", "Proxy-Authorization", "Transfer-Encoding")
    ),
    ("oauth2/tokenHeaders", [{"name": "X Key", "value": "x"}], "spec.oauth2.tokenHeaders[0].name"),
    ("oauth2/tokenHeaders", [{"name": "X-Key"}], "neither or both of value and secretRef: say one of them"),
    ("oauth2/tokenHeaders", [{"name": "X-Key", "value": "a\r\nHost: b"}], "spec.oauth2.tokenHeaders[0].value"),
    ("oauth2/tokenHeaders", [{"name": "X", "value": "a"}, {"name": "x", "value": "b"}], "names a header twice"),
    ("oauth2/tokenHeaders", [{"name": f"X-{n}", "value": "x"} for n in range(9)], "must have at most 8 items"),
    (
        "oauth2/tokenHeaders",
        [{"name": "X", "secretRef": {"name": "x-oauth2-credential", "key": "access_token"}}],
        "must not name a Secret that keeps tokens",
    ),
    ("oauth2/capturedFields", {"tokenResponse": ["refresh_token"]}, "apps never see a refresh token"),
    ("oauth2/capturedFields", {"tokenResponse": ["authed_user.refresh_token"]}, "apps never see a refresh token"),
    ("oauth2/capturedFields", {"callback": ["code"]}, "must not name code, state and the like"),
    ("oauth2/privateKeyRef", {"name": "signing"}, "a client authenticates one way"),
    ("oauth2/privateKeyRef", {"name": "x-oauth2-credential"}, "must not name a Secret that keeps tokens"),
    ("oauth2/privateKeyRef", {"name": "calendar-token"}, "is also the name of the token Secret"),
    (
        "oauth2/privateKeyRef",
        {"name": "s", "algorithm": "HS256"},
        "spec.oauth2.privateKeyRef.algorithm: Unsupported value",
    ),
    ("oauth2/privateKeyRef", {"name": "s", "namespace": "x"}, 'unknown field "spec.oauth2.privateKeyRef.namespace"'),
    ("oauth2/clientAuthentication", "private_key_jwt", "name a private key in privateKeyRef"),
    ("oauth2/assertionAudience", "anybody", "spec.oauth2.assertionAudience: Unsupported value"),
    ("oauth2/assertionType", "jwt", "spec.oauth2.assertionType: Unsupported value"),
    (
        "oauth2",
        {**COMPLETE["oauth2"], "assertionType": "client-authentication+jwt", "assertionAudience": "tokenURL"},
        "leave one of the two out, such an assertion is addressed to the issuer",
    ),
    ("oauth2/authorizeParameters", {"state": "mine"}, "spec.oauth2.authorizeParameters must not set client_id"),
    ("oauth2/authorizeParameters", {"": "x"}, "has a name that is empty"),
    ("oauth2/authorizeParameters", {"nonce": ""}, "spec.oauth2.authorizeParameters must not set client_id"),
    ("oauth2/clientId", "typo", 'unknown field "spec.oauth2.clientId"'),
    ("tokenSecret/name", "x-oauth2-credential", "spec.tokenSecret.name must not end in -oauth2-credential"),
    ("tokenSecret/name", "x-oauth2-import", "spec.tokenSecret.name must not end in -oauth2-import"),
    ("tokenSecret/name", "Not_A_Name", "spec.tokenSecret.name must be the name of a Secret: small letters"),
    ("tokenSecret/name", "my-app", "spec.tokenSecret.name must differ from spec.oauth2.clientSecretRef.name"),
    ("credentialSecret/template/labels", {"datasource.dev/role": "token"}, "must not use keys of datasource.dev/"),
    ("credentialSecret/template/annotations", {"datasource.dev/verdict": "x"}, "must not use keys of datasource.dev/"),
    (
        "credentialSecret/template/annotations",
        {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        "nor kubectl's own: choose another key",
    ),
    ("credentialSecret/template/labels", {"a..b/c": "y"}, "has an invalid label key"),
    ("credentialSecret/template/labels", {"app": "not a label"}, "spec.credentialSecret.template.labels"),
    (
        "credentialSecret/template/annotations",
        {f"example.com/{n}": "x" * 2000 for n in range(3)},
        "spec.credentialSecret.template is too large",
    ),
    ("tokenSecret/template/labels", {"datasource.dev/x": "y"}, "must not use keys of datasource.dev/"),
    ("tokenSecret/template/labels", {"app": "not a label"}, "spec.tokenSecret.template.labels"),
    ("tokenSecret/template/annotations", {"bad key": "y"}, "has an invalid annotation key"),
    ("tokenSecret/template/annotations", {"datasource.dev/role": "x"}, "must not use keys of datasource.dev/"),
    ("tokenSecret/template/labels", {"a..b/c": "y"}, "has an invalid label key"),
    ("tokenSecret/template/labels", {f"{LONG_NAME}/c": "y"}, "has an invalid label key"),
    ("tokenSecret/template/annotations", {"-a.example.com/c": "y"}, "has an invalid annotation key"),
    ("tokenSecret/template/data", {"a/b": "y"}, "has an invalid Secret key"),
    ("tokenSecret/template/data", {".": "y"}, "has an invalid Secret key"),
    ("tokenSecret/template/data", {"..": "y"}, "has an invalid Secret key"),
    ("tokenSecret/template/data", {"..data": "y"}, "has an invalid Secret key"),
    ("tokenSecret/template/data", {"": "y"}, "has an invalid Secret key"),
    ("tokenSecret/template/data", {"a" * 254: "y"}, "has an invalid Secret key"),
    ("tokenSecret/template/data", filled(33, 1), "must have at most 32 items"),
    ("tokenSecret/template/data", filled(8, 8192), "spec.tokenSecret.template is too large"),
    ("tokenSecret/template/annotations", filled(32, 4096), "spec.tokenSecret.template is too large"),
    ("tokenSecret/template/data", filled(8, 4096, "é"), "may have at most 65536 bytes"),
    ("refreshBefore", "10", "spec.refreshBefore must be a duration such as 10m or 1h30m"),
    ("probe", {"path": "/me", "interval": "1 d"}, "spec.probe.interval must be a duration such as 10m or 1h30m"),
    ("refreshBefore", "5s", "spec.refreshBefore is too short: use at least 30s"),
    # What CEL cannot read is not too short.
    ("oauth2/grantLifetime", "9999999h", "or too long: use at most 2562047h"),
    ("refreshBefore", "9" * 31 + "h", "or too long: use at most 2562047h"),
    ("probe", {"path": "/me%zz"}, "spec.probe.path must have two hexadecimal digits after each %"),
    ("probe", {"path": "/me%4"}, "spec.probe.path must have two hexadecimal digits after each %"),
    ("probe", {"path": "/me?a=%"}, "spec.probe.path must have two hexadecimal digits after each %"),
    ("probe", {"path": "/me%4g"}, "spec.probe.path must have two hexadecimal digits after each %"),
    ("suspend", "true", "spec.suspend"),
]

ACCEPTED = [
    ("tokenSecret", {"type": "Opaque"}),
    ("tokenSecret", {"type": "example.com/token"}),
    ("tokenSecret", {"type": "notkubernetes.io/x"}),
    ("tokenSecret", {"type": "kubernetes.io/basic-auth", "template": {"data": {"username": "x"}}}),
    ("tokenSecret", {"type": "kubernetes.io/basic-auth", "template": {"data": {"password": "{{ access_token }}"}}}),
    ("tokenSecret", {"type": "kubernetes.io/dockerconfigjson", "template": {"data": {".dockerconfigjson": "{}"}}}),
    ("tokenSecret", {"type": "kubernetes.io/ssh-auth", "template": {"data": {"ssh-privatekey": "{{ access_token }}"}}}),
    ("probe", {}),
    ("probe", {"path": "/caf%C3%A9%40"}),
    ("refreshBefore", "0000000020m"),
    ("oauth2/grantLifetime", "2562047h"),
    ("oauth2/defaultLifetime", "0.33333333333h"),
    ("probe", {"path": "/v1/users/@me?fields=id,name&x=/..", "interval": "1h30m"}),
    ("deletionPolicy", "Revoke"),
    (
        "oauth2",
        {
            **COMPLETE["oauth2"],
            "issuer": "https://login.example.com",
            "scopes": ["openid"],
            "expectedIdentity": {"hd": "a b"},
        },
    ),
    ("oauth2", None),
    ("oauth2", {}),
    ("oauth2/clientID", None),
    ("oauth2/clientID", "a client id with spaces & signs: 100%"),
    ("oauth2/clientSecretRef", None),
    ("oauth2/clientSecretRef", {"name": "app.v2"}),
    ("oauth2/authorizeURL", "https://login.example.com/authorize?tenant=a&prompt=consent"),
    ("oauth2/authorizeURL", "https://login.example.com:8443/a/b;c=d/authorize"),
    ("oauth2/authorizeURL", "https://[2001:db8::1]/authorize"),
    ("oauth2/authorizeURL", "https://login.example.com/a?mystate=1&state_of_mind=2"),
    ("oauth2/tokenURL", "http://localhost:9000/token"),
    ("oauth2/tokenURL", "https://login.example.com/token?api-version=1&mycode=1&codes=2&state=x"),
    ("oauth2/revocationURL", "https://login.example.com/code/revoke?client_id=a"),
    ("oauth2/issuer", "https://login.example.com/realms/one/"),
    (
        "oauth2",
        {
            **COMPLETE["oauth2"],
            "issuer": "https://login.example.com/tenant/v2.0",
            "discoveryURL": "https://login.example.com/common/.well-known/openid-configuration?p=B2C_1_signin",
        },
    ),
    ("oauth2/tokenURLs", [CHOICE, CHOICE | {"value": "in", "revocationURL": "https://in.example.com/revoke?a=b"}]),
    ("oauth2/tokenURLs", []),
    ("oauth2/scopes", []),
    ("oauth2/scopes", ["https://www.example.com/auth/calendar.readonly", "openid", "a:b/c!d"]),
    ("oauth2/clientAuthentication", "client_secret_post"),
    ("oauth2/pkce", "none"),
    ("oauth2/pkce", "S256Unadvertised"),
    ("oauth2/provider", "microsoft-entra"),
    ("oauth2/tokenParameters", {"scope": "read", "audience": "api"}),
    ("oauth2/scopeSeparator", " "),
    ("oauth2/tokenPath", "authed_user.token"),
    ("oauth2/resource", ["https://api.example.com/v3?x=1", "urn:example:api"]),
    ("oauth2/capturedFields", {"tokenResponse": ["instance_url", "team.id"], "callback": ["realmId"]}),
    ("oauth2/errorCodes", {"bad_refresh_token": "invalid_grant"}),
    ("oauth2/errorRules", [{"path": "errors.0.code", "error": "x", "status": 400, "means": "invalidGrant"}]),
    ("oauth2/errorRules", [{"description": "already being processed", "means": "temporary"}]),
    ("oauth2/nonce", False),
    ("oauth2/clientIDInBody", True),
    (
        "oauth2/tokenHeaders",
        [
            {"name": "User-Agent", "value": "my app/1 (x)"},
            {"name": "X-Api-Key", "secretRef": {"name": "gw", "key": "k"}},
        ],
    ),
    ("oauth2/redirectURIOnRefresh", True),
    ("oauth2/maxLifetime", "12h"),
    ("oauth2/grantLifetime", "8760h"),
    ("oauth2/grantIdleLifetime", "2160h30m"),
    ("oauth2/authorizeParameters", {"access_type": "offline", "prompt": "consent", "audience": ""}),
    ("tokenSecret/name", "app.token"),
    ("tokenSecret/template/data", {".netrc": "machine x login y password {{ access_token }}", "A_b-c.d": ""}),
    ("tokenSecret/template/data", {"a" * 253: "", ".a": "", "a..b": "", "-": ""}),
    ("tokenSecret/template/data", filled(8, 8186)),
    ("credentialSecret/template/labels", {"app.kubernetes.io/part-of": "shop"}),
    ("credentialSecret/template/annotations", {"reloader.stakater.com/match": "true"}),
    ("tokenSecret/template/labels", {"app.kubernetes.io/name": "reader", "app.kubernetes.io/version": ""}),
    ("refreshBefore", "1h30m"),
    ("refreshBefore", "0.5h"),
    ("suspend", True),
    ("display", {}),
    ("display/owner", "Équipe Météo 天気 ☀ #1"),
    ("display/contact", "ada@example.com, #team-weather, ext. 12"),
    ("suspend", False),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED, ids=[f"{each[0]}={each[1]}"[:80] for each in REFUSED])
def test_bad_value_is_refused_with_field_and_remedy(cluster: Cluster, path: str, value: object, message: str) -> None:
    accepted, said = try_to_create(cluster, changed(path, value))

    assert not accepted
    assert message in said
    assert "should match" not in said, "a pattern says nothing to the person who wrote the value"


@pytest.mark.parametrize(("path", "value"), ACCEPTED, ids=[f"{each[0]}={each[1]}"[:80] for each in ACCEPTED])
def test_odd_but_valid_value_is_accepted(cluster: Cluster, path: str, value: object) -> None:
    accepted, said = try_to_create(cluster, changed(path, value))

    assert accepted, said


def test_parameters_have_a_bound_together_and_no_spec_is_larger_than_170_kib(cluster: Cluster) -> None:
    """A spec that filled every field to its own bound had 330 KiB, and four times that beyond ASCII."""
    full = changed("oauth2/caBundle", CERTIFICATES + "x" * (65_536 - len(CERTIFICATES)))
    full["tokenSecret"] = {"template": {"data": filled(8, 8186)}}
    full["credentialSecret"] = {"template": {"annotations": {"reloader.stakater.com/a": "x" * 2000}}}
    full["oauth2"] |= {"scopes": [], "authorizeParameters": filled(29, 1024), "tokenParameters": {"a": "x" * 1024}}
    left = 98_304 - 65_536 - sum(len(key) + 1024 for key in filled(29, 1)) - 1025
    full["oauth2"]["refreshParameters"] = {"b": "x" * (left - 1)} if left < 1025 else {"b": "x" * 1023, "c": ""}
    assert try_to_create(cluster, full) == (True, "")
    assert len(json.dumps(full)) < 170 * 1024

    for field, value in (
        ("refreshParameters", filled(32, 1024)),
        ("tokenParameters", filled(8, 512, "é")),
        ("expectedIdentity", filled(8, 1024)),
        ("resource", [f"urn:{number}:{'x' * 1024}" for number in range(8)]),
        ("scopes", [f"{number}{'x' * 200}" for number in range(50)]),
        ("tokenURLs", [CHOICE | {"url": f"https://eu.example.com/{'x' * 900}"}] * 16),
    ):
        accepted, said = try_to_create(cluster, {**full, "oauth2": full["oauth2"] | {field: value}})
        assert (accepted, "spec.oauth2 is too large" in said) == (False, True), (field, said)
        alone, said = try_to_create(cluster, changed(f"oauth2/{field}", value))
        assert alone or "expectedIdentity cannot be checked" in said, (field, said)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 201, "metadata.name is too long: use at most 200 characters"),
        ("my-oauth2-credential", "metadata.name must not end in -oauth2-credential"),
    ],
)
def test_name_that_cannot_work_is_refused(cluster: Cluster, name: str, message: str) -> None:
    accepted, said = try_to_create(cluster, COMPLETE, name)

    assert not accepted
    assert message in said


def test_name_as_long_as_allowed_is_accepted(cluster: Cluster) -> None:
    accepted, said = try_to_create(cluster, COMPLETE, "x" * 200)

    assert accepted, said


def test_every_field_is_explained(cluster: Cluster) -> None:
    explained = cluster.kubectl("explain", "datasource.spec.oauth2", "--recursive").stdout
    lines = [line for line in explained.splitlines() if "\t<" in line]
    outermost = min(len(line) - len(line.lstrip()) for line in lines)
    fields = [line.split()[0] for line in lines if len(line) - len(line.lstrip()) == outermost]

    assert {"clientID", "clientSecretRef", "authorizeURL", "tokenURL", "scopes"} <= set(fields)
    for field in fields:
        assert "DESCRIPTION" in cluster.kubectl("explain", f"datasource.spec.oauth2.{field}").stdout


def test_no_field_has_a_pattern_that_people_would_read() -> None:
    """A rule has a message of ours."""
    assert not re.findall(r"^ *pattern:", (REPOSITORY / "crds" / "datasource.yaml").read_text(), re.MULTILINE)


def test_unseen_datasource_is_in_progress_for_kstatus(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "unseen")
    manifest = {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "metadata": {"name": "calendar", "namespace": "unseen"},
        "spec": {"url": "https://api.example.com"},
    }
    created = cluster.kubectl(
        "create", "-f", "-", "-o", "jsonpath={.status.observedGeneration}", stdin=json.dumps(manifest)
    )
    cluster.kubectl("delete", "namespace", "unseen", "--wait=false")

    assert created.stdout == "-1"


def test_client_with_a_private_key_is_accepted(cluster: Cluster) -> None:
    spec = changed("oauth2/clientSecretRef", None)
    spec["oauth2"]["privateKeyRef"] = {"name": "signing", "keyID": "key-1", "algorithm": "PS256"}
    for method in ({}, {"clientAuthentication": "private_key_jwt"}):
        accepted, said = try_to_create(cluster, {**spec, "oauth2": spec["oauth2"] | method})
        assert accepted, said

    accepted, said = try_to_create(cluster, {**spec, "oauth2": spec["oauth2"] | {"clientAuthentication": "none"}})
    assert not accepted
    assert "spec.oauth2.privateKeyRef is for private_key_jwt" in said


def test_audience_is_said_in_one_place(cluster: Cluster) -> None:
    spec = changed("oauth2/audience", "api")
    spec["oauth2"]["authorizeParameters"] = {"audience": "other"}

    accepted, said = try_to_create(cluster, spec)

    assert not accepted
    assert "sets audience beside spec.oauth2.audience" in said


# What an earlier schema let in.


@pytest.fixture
def earlier(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Our CRD under a name of its own, installed without the bounds of the template; yields what they are set back with."""
    crd = yaml.safe_load((REPOSITORY / "crds" / "datasource.yaml").read_text())
    crd["metadata"]["name"] = "earlier.ratcheting.example.com"
    crd["spec"] |= {
        "group": "ratcheting.example.com",
        "names": {"kind": "Earlier", "listKind": "EarlierList", "plural": "earlier", "singular": "earlier"},
    }
    older = copy.deepcopy(crd)
    template = template_schema(older)
    del template["x-kubernetes-validations"]
    oauth2 = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["oauth2"]
    oauth2["x-kubernetes-validations"] = [
        each for each in oauth2["x-kubernetes-validations"] if "98304" not in each["rule"]
    ]
    for place in ("data", "labels", "annotations"):
        del template["properties"][place]["x-kubernetes-validations"]
    name = token_secret_schema(older)["properties"]["name"]
    name["x-kubernetes-validations"] = [
        each for each in name["x-kubernetes-validations"] if "-oauth2-import" not in each["rule"]
    ]
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(older))
    wait_until_established(cluster, crd["metadata"]["name"])
    yield crd
    cluster.kubectl("delete", "crd", crd["metadata"]["name"])


def token_secret_schema(crd: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in ("spec", "tokenSecret"):
        schema = schema["properties"][name]
    return schema


def template_schema(crd: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = token_secret_schema(crd)["properties"]["template"]
    return schema


def test_template_of_an_earlier_version_goes_on_and_only_its_own_change_is_checked(
    cluster: Cluster, earlier: dict[str, Any]
) -> None:
    """Nobody's Datasource stops at an update of the CRD: neither its status nor another edit is refused for the template."""
    old = changed("tokenSecret/template", {"data": filled(9, 8192), "labels": {"a..b/c": "x"}})
    old["oauth2"] |= {
        "caBundle": CERTIFICATES,
        "authorizeParameters": filled(32, 1024, "é"),
        "tokenParameters": filled(32, 1024),
    }
    manifest = {"apiVersion": "ratcheting.example.com/v1alpha1", "kind": "Earlier", "metadata": {"name": "old"}}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest | {"spec": old}))
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(earlier))
    another = json.dumps(manifest | {"metadata": {"name": "new"}, "spec": old})
    eventually(
        "the bounds hold for what is new",
        lambda: (
            "spec.tokenSecret.template is too large"
            in cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=another, check=False).stderr
        ),
    )

    def edited(change: dict[str, Any], *options: str) -> tuple[bool, str]:
        """Whether the API server takes a merge patch, and what it says."""
        done = cluster.kubectl(
            "patch", "earlier", "old", "--type=merge", "-p", json.dumps(change), *options, check=False
        )
        return done.returncode == 0, done.stderr

    too_large = "spec.tokenSecret.template is too large"
    for change in (
        {"spec": {"suspend": True}},
        {"spec": {"tokenSecret": {"name": "other"}}},
        {"metadata": {"annotations": {"datasource.dev/refresh": "1"}}},
    ):
        accepted, said = edited(change)
        assert accepted, said
    assert edited({"status": {"state": "AUTHORIZED", "observedGeneration": 3}}, "--subresource=status")[0]
    accepted, said = edited({"spec": {"tokenSecret": {"template": {"data": {"key-0": "y"}}}}})
    assert (accepted, too_large in said) == (False, True)
    accepted, said = edited({"spec": {"oauth2": {"scopes": ["write"]}}})
    assert (accepted, "spec.oauth2 is too large" in said) == (False, True)
    small_enough = {"data": {"key-0": None, "key-1": None}, "labels": None}
    assert edited({"spec": {"tokenSecret": {"template": small_enough}}})[0]
    assert edited({"spec": {"oauth2": {"scopes": ["write"], "tokenParameters": None}}}) == (True, "")


def test_token_secret_with_the_name_of_an_import_goes_on_until_it_is_renamed(
    cluster: Cluster, earlier: dict[str, Any]
) -> None:
    """0.2.0 and earlier let it in: no edit, no apply of the same and no status is refused for it."""
    manifest = {"apiVersion": "ratcheting.example.com/v1alpha1", "kind": "Earlier", "metadata": {"name": "old"}}
    old = json.dumps(manifest | {"spec": changed("tokenSecret/name", "diary-oauth2-import")})
    cluster.kubectl("apply", "-f", "-", stdin=old)
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(earlier))
    another = old.replace('"old"', '"new"')
    words = "spec.tokenSecret.name must not end in -oauth2-import"
    eventually(
        "the rule holds for what is new",
        lambda: words in cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=another, check=False).stderr,
    )

    def edited(change: dict[str, Any], *options: str) -> tuple[bool, bool]:
        """Whether the API server takes a merge patch, and whether it tells of the rule: as a warning where it does."""
        arguments = ("patch", "earlier", "old", "--type=merge", "-p", json.dumps(change), *options)
        done = cluster.kubectl(*arguments, check=False)
        return done.returncode == 0, words in done.stderr

    assert edited({"spec": {"suspend": True}}) == (True, True)
    cluster.kubectl("apply", "-f", "-", stdin=old)
    for change in (
        {"spec": {"tokenSecret": {"template": {"data": {"key": "{{ access_token }}"}}}}},
        {"metadata": {"annotations": {"datasource.dev/refresh": "1"}}},
    ):
        assert edited(change)[0]
    assert edited({"status": {"state": "AUTHORIZED"}}, "--subresource=status")[0]
    assert edited({"spec": {"tokenSecret": {"name": "other-oauth2-import"}}}) == (False, True)
    assert edited({"spec": {"tokenSecret": {"name": "other"}}}) == (True, False)
    assert edited({"spec": {"tokenSecret": {"name": "diary-oauth2-import"}}}) == (False, True)


TYPED = {
    "type": "kubernetes.io/basic-auth",
    "name": "registry",
    "template": {"data": {"password": "{{ access_token }}"}},
}


def test_type_of_the_token_secret_changes_only_with_its_name(cluster: Cluster) -> None:
    """The new one stands before the old one goes; under one name it could not."""
    manifest = {"apiVersion": "datasource.dev/v1alpha1", "kind": "Datasource", "metadata": {"name": "retyped"}}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest | {"spec": COMPLETE}))

    def edited(token_secret: dict[str, Any] | None) -> str:
        change = [{"op": "add", "path": "/spec/tokenSecret", "value": token_secret or {}}]
        done = cluster.kubectl("patch", "datasource", "retyped", "--type=json", "-p", json.dumps(change), check=False)
        return done.stderr

    words = "spec.tokenSecret.type can change only together with spec.tokenSecret.name"
    assert words in edited({**TYPED, "name": "retyped-token"}), "which is the usual one"
    assert edited(TYPED) == ""
    assert edited({**TYPED, "template": {"data": {"username": "x"}}}) == ""
    assert words in edited({**TYPED, "type": "Opaque"})
    assert words in edited({"name": "registry"})
    assert edited({"type": "Opaque"}) == ""
    assert words in edited(None)
    assert edited({"name": "usual"}) == ""
    cluster.kubectl("delete", "datasource", "retyped", "--wait=false")


LARGEST = Wanted(
    name="a" * 200,
    provider=None,
    url=f"https://api.example.com/{'v' * 2024}",
    client_id="~" * 1024,
    client_secret="my-app.2",
    scopes=tuple(f"{number:03}{'s' * 253}" for number in range(100)),
    endpoints={
        "issuer": "https://[2001:db8::1]:8443/realms/a",
        "authorizeURL": "https://login.example.com/authorize?prompt=consent",
        "tokenURL": "http://localhost:8080/token?v=1",
    },
)
ODD = Wanted(
    name="a.b-1", provider="github", client_id=" \"a: b\" # 'c' ".strip(), scopes=("#", "'", "{x}", "~", "a,b")
)


@pytest.mark.parametrize(
    "wanted", [LARGEST, ODD, Wanted(name="a", provider="github", public=True)], ids=lambda each: each.name[:5]
)
def test_manifest_that_the_plugin_prints_is_one_that_the_api_server_takes(cluster: Cluster, wanted: Wanted) -> None:
    accepted, said = try_to_create(cluster, manifest(wanted)["spec"], wanted.name)
    assert accepted, said


def test_example_of_each_preset_is_one_that_the_api_server_takes(cluster: Cluster) -> None:
    """What `create --provider` prints, and the YAML of docs/providers.md."""
    page = (REPOSITORY / "docs" / "providers.md").read_text()
    documented = [yaml.load(block, yaml.CSafeLoader) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    found = {each["spec"]["oauth2"]["provider"] for each in documented if each["kind"] == "Datasource"}
    assert found == set(PRESETS)
    stdin = "\n---\n".join(json.dumps(each) for each in [*documented, *map(example, PRESETS)])
    done = cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=stdin, check=False)
    assert done.stderr == ""
    assert done.stdout.count(" created (server dry run)") == len(documented) + len(PRESETS)


def test_create_applies_each_preset(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """With --apply, from the options on that a person types."""
    for name, preset in PRESETS.items():
        options = ["--url", preset.url or "https://api.example.com", "--client-id", "my-app"]
        options += [word for field, value in preset.asks_for.items() for word in (OPTIONS[field], value)]
        options += [word for scope in preset.scopes for word in ("--scope", scope)]
        place = ["-n", "default", "--kubeconfig", str(cluster.kubeconfig)]
        assert run(["create", f"of-{name}", "--provider", name, "--apply", *options, *place]) == 0, (
            capsys.readouterr().err
        )
    names = [f"of-{name}" for name in PRESETS]
    stored = json.loads(cluster.kubectl("get", "datasources", "-n", "default", "-o", "json", *names).stdout)["items"]
    assert [each["spec"]["oauth2"]["provider"] for each in stored] == list(PRESETS)
    cluster.kubectl("delete", "datasources", "-n", "default", "--wait=false", *names)
