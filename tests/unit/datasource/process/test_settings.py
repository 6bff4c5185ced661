"""Settings from the environment: one place for their names, and a remedy for each mistake."""

from datetime import timedelta
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.outbound.egress import EgressPolicy, Rules
from datasource.outbound.proxies import Proxies
from datasource.process.branding import Branding
from datasource.process.settings import InvalidSettings, Settings, listen_address, settings_in

EXTERNAL = "https://connect.example.com"


def settings(**changes: str) -> Settings:
    return settings_in({"DATASOURCE_EXTERNAL_URL": EXTERNAL} | changes)


def test_only_the_external_url_is_needed() -> None:
    assert settings() == Settings(
        external_url=EXTERNAL,
        system_namespace="datasource-system",
        namespaces=(),
        allow_insecure_http=False,
        log_format="json",
        kubeconfig=None,
    )


@pytest.mark.parametrize(("issuer", "signs_in"), [("", False), (" ", False), ("https://id.example.com", True)])
def test_people_sign_in_where_an_issuer_is_named(issuer: str, signs_in: bool) -> None:
    others = {"CLIENT_ID": "datasource", "SECRET_FILE": "/run/secret"} if signs_in else {}
    read = settings(**{f"DATASOURCE_SIGN_IN_{name}": value for name, value in ({"ISSUER": issuer} | others).items()})
    assert read.signs_in is signs_in


@pytest.mark.parametrize("text", ["a\nb", "x" * 129, "a\u202eb"])
def test_words_about_the_installation_are_one_line(text: str) -> None:
    with pytest.raises(InvalidSettings, match="DATASOURCE_CLUSTER_NAME"):
        settings(DATASOURCE_CLUSTER_NAME=text)


def test_every_setting_is_read() -> None:
    read = settings(
        DATASOURCE_SYSTEM_NAMESPACE="platform",
        DATASOURCE_NAMESPACES=" shop, sales ,,",
        DATASOURCE_ALLOW_INSECURE_HTTP="True",
        DATASOURCE_LOG_FORMAT="text",
        KUBECONFIG="/etc/kubeconfig",
        DATASOURCE_POD_UID="pod-1",
        DATASOURCE_EGRESS_ALLOW=" login.corp.example, ,10.20.0.0/16",
        DATASOURCE_EGRESS_DENY="*.old.corp.example",
        DATASOURCE_REQUIRE_ALLOWED_HOSTS="true",
        HTTPS_PROXY="http://proxy.example.com:3128",
        NO_PROXY="10.0.0.0/8",
        DATASOURCE_METRICS_PER_OBJECT="false",
        DATASOURCE_CALLBACK_SERVER_ACCOUNT="connect",
        DATASOURCE_INSTALLATION_NAME="Example Corp",
        DATASOURCE_CLUSTER_NAME=" prod-eu ",
        DATASOURCE_SUPPORT_ADDRESS="help@example.com",
    )
    assert read == Settings(
        egress=EgressPolicy(
            allowed=Rules(names=frozenset({"login.corp.example"}), networks=(ip_network("10.20.0.0/16"),)),
            denied=Rules(suffixes=(".old.corp.example",)),
        ),
        proxies=Proxies(https="http://proxy.example.com:3128", bypass=("10.0.0.0/8",)),
        require_allowed_hosts=True,
        branding=Branding("Example Corp", "prod-eu", "help@example.com"),
        external_url=EXTERNAL,
        system_namespace="platform",
        namespaces=("shop", "sales"),
        allow_insecure_http=True,
        log_format="text",
        kubeconfig="/etc/kubeconfig",
        pod_uid="pod-1",
        callback_server_account="connect",
        metrics_per_object=False,
    )


@pytest.mark.parametrize(
    "name",
    [
        "DATASOURCE_SYSTEM_NAMESPACE",
        "DATASOURCE_NAMESPACES",
        "DATASOURCE_ALLOW_INSECURE_HTTP",
        "DATASOURCE_LOG_FORMAT",
        "KUBECONFIG",
        "DATASOURCE_POD_UID",
        "DATASOURCE_EGRESS_ALLOW",
        "DATASOURCE_EGRESS_DENY",
        "DATASOURCE_REQUIRE_ALLOWED_HOSTS",
        "HTTPS_PROXY",
        "NO_PROXY",
    ],
)
def test_empty_variable_is_one_left_out(name: str) -> None:
    assert settings(**{name: ""}) == settings()


@pytest.mark.parametrize(
    ("url", "read"),
    [
        (EXTERNAL + "/", EXTERNAL),
        (EXTERNAL + "/prefix//", EXTERNAL + "/prefix"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_external_url_has_no_trailing_slash(url: str, read: str) -> None:
    assert settings(DATASOURCE_EXTERNAL_URL=url).external_url == read


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="empty"),
        pytest.param("connect.example.com", id="no scheme"),
        pytest.param("ftp://connect.example.com", id="another scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("http://connect.example.com", id="plain http"),
        pytest.param("http://localhost.example.com", id="plain http to a name like loopback"),
        pytest.param("https://connect.example.com?a=b", id="a query"),
        pytest.param("https://connect.example.com/?", id="an empty query"),
        pytest.param("https://connect.example.com#a", id="a fragment"),
        pytest.param("https://connect.example.com/#", id="an empty fragment"),
        pytest.param("https://user:password@connect.example.com", id="a user and a password"),
        pytest.param("https://connect.example.com:abc", id="a port that is a word"),
        pytest.param("https://connect.example.com:99999", id="a port there is not"),
        pytest.param("https://[::1", id="half an IPv6 address"),
        pytest.param(" https://connect.example.com", id="a space before it"),
        pytest.param("https://connect.example.com ", id="a space behind it"),
        pytest.param("https://connect.example.com\n", id="a line break behind it"),
        pytest.param("https://connect.example.com\\x", id="a backslash"),
    ],
)
def test_external_url_that_is_none_is_refused_by_name(url: str) -> None:
    with pytest.raises(InvalidSettings, match="DATASOURCE_EXTERNAL_URL"):
        settings(DATASOURCE_EXTERNAL_URL=url)


def test_missing_external_url_is_refused_by_name() -> None:
    with pytest.raises(InvalidSettings, match="DATASOURCE_EXTERNAL_URL"):
        settings_in({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATASOURCE_ALLOW_INSECURE_HTTP", "yes"),
        ("DATASOURCE_ALLOW_INSECURE_HTTP", "1"),
        ("DATASOURCE_LOG_FORMAT", "xml"),
        ("DATASOURCE_LOG_FORMAT", "JSON"),
    ],
)
def test_value_that_there_is_not_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=name):
        settings(**{name: value})


@given(st.text(alphabet="htps:/[]@.#?\\ x1-", max_size=20).map("https://".__add__) | st.text(max_size=30))
def test_arbitrary_external_url_raises_nothing_but_invalid_settings(url: str) -> None:
    try:
        read = settings(DATASOURCE_EXTERNAL_URL=url)
    except InvalidSettings:
        return
    assert read.external_url.startswith(("http", "HTTP"))


@pytest.mark.parametrize(
    ("value", "address"),
    [
        pytest.param(None, ("0.0.0.0", 8080), id="missing"),  # noqa: S104 - read, not listened on
        pytest.param("", ("0.0.0.0", 8080), id="empty"),  # noqa: S104 - read, not listened on
        pytest.param("127.0.0.1:9000", ("127.0.0.1", 9000), id="an IPv4 address"),
        pytest.param("[::]:9000", ("::", 9000), id="an IPv6 address"),
        pytest.param("localhost:0", ("localhost", 0), id="any free port"),
        pytest.param("localhost:65535", ("localhost", 65535), id="the last port"),
    ],
)
def test_address_to_listen_on_is_read(value: str | None, address: tuple[str, int]) -> None:
    environ = {} if value is None else {"LISTEN": value}
    assert listen_address(environ, "LISTEN", default="0.0.0.0:8080") == address


@pytest.mark.parametrize(
    "value", ["8080", ":8080", "localhost", "localhost:", "localhost:http", "localhost:65536", "a:-1"]
)
def test_address_that_is_none_is_refused_by_name(value: str) -> None:
    with pytest.raises(InvalidSettings, match=r"LISTEN must be host:port, such as 0\.0\.0\.0:8080"):
        listen_address({"LISTEN": value}, "LISTEN", default="0.0.0.0:8080")


@pytest.mark.parametrize("name", ["DATASOURCE_EGRESS_ALLOW", "DATASOURCE_EGRESS_DENY"])
def test_entry_of_an_egress_list_that_cannot_be_read_is_named(name: str) -> None:
    with pytest.raises(InvalidSettings, match=rf"{name} must list .* it has 'https://login\.corp\.example'"):
        settings(**{name: "10.0.0.0/8,https://login.corp.example"})


def test_proxy_that_cannot_be_used_is_told_without_its_password() -> None:
    with pytest.raises(InvalidSettings, match="HTTPS_PROXY must be the URL of an HTTP proxy") as caught:
        settings(HTTPS_PROXY="socks5://me:sentinel@proxy.example.com")
    assert "sentinel" not in str(caught.value)


@pytest.mark.parametrize(("value", "seconds"), [("", 300), ("1", 1), ("86400", 86_400)])
def test_patience_with_revocations_is_read_in_seconds(value: str, seconds: int) -> None:
    environ = {"DATASOURCE_EXTERNAL_URL": "https://connect.example.com", "DATASOURCE_REVOCATION_SECONDS": value}
    assert settings_in(environ).revocation_patience == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", ["5m", "-1", "1.5", "\u0663", "9999999"])
def test_patience_that_is_no_number_of_seconds_is_refused_by_name(value: str) -> None:
    environ = {"DATASOURCE_EXTERNAL_URL": "https://connect.example.com", "DATASOURCE_REVOCATION_SECONDS": value}
    with pytest.raises(InvalidSettings, match="DATASOURCE_REVOCATION_SECONDS"):
        settings_in(environ)


NOTIFY = {"DATASOURCE_NOTIFY_URL": "https://alerts.example.com/hook", "DATASOURCE_NOTIFY_SECRET_FILE": "/keys/notify"}


def test_nobody_is_notified_unless_a_receiver_is_named() -> None:
    assert settings(DATASOURCE_NOTIFY_URL="", DATASOURCE_NOTIFY_SECRET_FILE="").notify is None


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://alerts.example.com/hook?team=a", "alerts.example.com"),
        ("https://[fd00::1]:8443/hook", "fd00::1"),
        ("http://relay.monitoring.svc/hook", "relay.monitoring.svc"),
        ("http://relay.monitoring.svc.cluster.local:9095/hook", "relay.monitoring.svc.cluster.local"),
        ("http://127.0.0.1:9095/", "127.0.0.1"),
    ],
)
def test_receiver_of_notifications_is_read_with_its_host(url: str, host: str) -> None:
    notify = settings(**NOTIFY | {"DATASOURCE_NOTIFY_URL": url}).notify
    assert notify is not None
    assert (notify.url, notify.host, str(notify.secret_file)) == (url, host, "/keys/notify")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"DATASOURCE_NOTIFY_URL": ""}, "DATASOURCE_NOTIFY_URL must be the URL of a receiver"),
        ({"DATASOURCE_NOTIFY_URL": "alerts.example.com"}, "DATASOURCE_NOTIFY_URL must be the URL of a receiver"),
        ({"DATASOURCE_NOTIFY_URL": "ftp://alerts.example.com"}, "DATASOURCE_NOTIFY_URL must be the URL of a receiver"),
        ({"DATASOURCE_NOTIFY_URL": "https://"}, "DATASOURCE_NOTIFY_URL must be the URL of a receiver"),
        ({"DATASOURCE_NOTIFY_URL": "https://me:pw@alerts.example.com"}, "DATASOURCE_NOTIFY_URL must be the URL"),
        ({"DATASOURCE_NOTIFY_URL": "https://alerts.example.com/#a"}, "DATASOURCE_NOTIFY_URL must be the URL"),
        ({"DATASOURCE_NOTIFY_URL": "http://alerts.example.com/"}, "DATASOURCE_NOTIFY_URL must be https://"),
        ({"DATASOURCE_NOTIFY_URL": "http://evil.svc.example.com/"}, "DATASOURCE_NOTIFY_URL must be https://"),
        ({"DATASOURCE_NOTIFY_SECRET_FILE": ""}, "DATASOURCE_NOTIFY_SECRET_FILE must name the file"),
    ],
)
def test_receiver_that_cannot_be_used_is_refused_by_name(changes: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidSettings, match=said) as caught:
        settings(**NOTIFY | changes)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATASOURCE_LOGO", "https://cdn.example.com/logo.png"),
        ("DATASOURCE_COLOR", "yellow"),
        ("DATASOURCE_COLOR_DARK", "#000000"),
        ("DATASOURCE_TEXTS", "Los"),
    ],
)
def test_branding_that_pages_cannot_use_is_refused_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=rf"^{name} must"):
        settings(**{name: value})


def test_branding_that_pages_can_use_is_read() -> None:
    read = settings(DATASOURCE_COLOR=" #7A1FA2 ", DATASOURCE_TEXTS='{"de": {"dialog.button": "Los"}}').branding
    assert (read.accent, read.texts) == ("#7a1fa2", {"de": {"dialog.button": "Los"}})
