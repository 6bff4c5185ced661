"""What sign-in is made of: the issuer's host is open for it alone."""

from pathlib import Path

import pytest

from callback_server.signed_in.wiring import egress_to_issuer
from datasource.outbound.egress import Denied, EgressPolicy, rules
from datasource.process.sign_in import SignIn


def sign_in(issuer: str) -> SignIn:
    return SignIn(issuer, "connect", Path("secret"))


@pytest.mark.parametrize(
    ("issuer", "host", "address"),
    [
        ("https://login.corp.example", "login.corp.example", "10.0.0.7"),
        ("https://dex.dex.svc:5556/dex", "dex.dex.svc", "10.96.0.9"),
        ("https://10.0.0.7/realm", "10.0.0.7", "10.0.0.7"),
        ("https://[fd00::7]/realm", "fd00::7", "fd00::7"),
    ],
)
def test_issuer_is_reached_wherever_it_is_and_nothing_beside_it(issuer: str, host: str, address: str) -> None:
    usual = EgressPolicy()
    opened = egress_to_issuer(usual, sign_in(issuer))
    assert usual.host_denial(host) or usual.address_denial(host, address)
    assert opened.host_denial(host) is None
    assert opened.address_denial(host, address) is None
    assert opened.host_denial("other.dex.svc") is Denied.IN_CLUSTER
    assert opened.host_denial("10.0.0.8") is Denied.PRIVATE
    # Whoever controls the name must not reach these with it.
    assert opened.address_denial("login.corp.example", "169.254.169.254") is Denied.METADATA


def test_what_the_platform_team_denies_and_allows_holds() -> None:
    egress = EgressPolicy(allowed=rules([".corp.example", "10.1.0.0/16"]), denied=rules(["login.corp.example"]))
    opened = egress_to_issuer(egress, sign_in("https://login.corp.example"))
    assert opened.host_denial("login.corp.example") is Denied.BY_FLAG
    assert opened.host_denial("10.1.2.3") is None
    assert opened.allowed.suffixes == (".corp.example",)
