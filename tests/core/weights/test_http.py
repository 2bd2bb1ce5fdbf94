from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import urllib3

from ft.errors import FtError
from ft.weights.http import NotThere, Passing, check_redirect, explain, http_timeout, open_url
from weight_server import Answer, WeightServer, weight_server


@pytest.fixture
def other() -> Iterator[WeightServer]:
    with weight_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def with_password(url: str) -> str:
    return url.replace("http://", "http://me:se%40cret@")


def get(url: str) -> tuple[str, list[str]]:
    notes: list[str] = []
    response, final = open_url(url, {}, 5.0, notes.append)
    response.close()
    return final, notes


def addresses(monkeypatch: pytest.MonkeyPatch, **known: str) -> None:
    def resolve(host: str, *_: Any, **__: Any) -> list[Any]:
        if host not in known and not host.replace(".", "").isdigit():
            raise socket.gaierror(-2, "Name or service not known")
        return [(2, 1, 6, "", (known.get(host, host), 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


# Credentials


def test_user_and_password_of_a_url_are_sent_to_its_host(web: WeightServer) -> None:
    web.put("/net.pth", b"x")
    assert get(with_password(web.url) + "/net.pth") == (web.url + "/net.pth", [])
    assert web.headers[0]["Authorization"] == "Basic bWU6c2VAY3JldA=="


def test_they_stay_on_a_redirect_within_the_host_and_go_nowhere_else(web: WeightServer, other: WeightServer) -> None:
    web.put("/a", Answer(status=302, headers={"Location": "/b"}))
    web.put("/b", Answer(status=302, headers={"Location": other.url + "/c"}))
    other.put("/c", b"x")
    final, _ = get(with_password(web.url) + "/a")
    assert final == other.url + "/c"
    assert ["Authorization" in headers for headers in web.headers] == [True, True]
    assert "Authorization" not in other.headers[0]


def test_credentials_of_netrc_go_to_the_host_they_are_for(web: WeightServer, tmp_path: Any) -> None:
    (tmp_path / "netrc").write_text("machine localhost login me password secret\n")
    web.put("/a", Answer(status=302, headers={"Location": web.url.replace("127.0.0.1", "localhost") + "/b"}))
    web.put("/b", b"x")
    get(web.url + "/a")
    assert ["Authorization" in headers for headers in web.headers] == [False, True]


def test_a_redirect_cannot_bring_credentials(web: WeightServer) -> None:
    web.put("/a", Answer(status=302, headers={"Location": with_password(web.url) + "/b"}))
    web.put("/b", b"x")
    assert get(web.url + "/a")[0] == web.url + "/b"
    assert "Authorization" not in web.headers[1]


@pytest.mark.parametrize("status", [401, 404, 500, 302])
def test_no_message_shows_them(web: WeightServer, status: int) -> None:
    web.put(
        "/net.pth", Answer(status=status, headers={"Location": with_password("http://:x")} if status == 302 else {})
    )
    with pytest.raises((FtError, Passing)) as raised:
        get(with_password(web.url) + "/net.pth?token=hidden")
    assert "secret" not in str(raised.value)
    assert "se%40cret" not in str(raised.value)
    assert "hidden" not in str(raised.value)


# Redirects


@pytest.mark.parametrize(
    ("here", "target", "reason"),
    [
        ("https://a.example/x", "http://a.example/x", "not encrypted"),
        ("https://a.example/x", "file:///etc/passwd", "http and https addresses only"),
        ("https://a.example/x", "ftp://a.example/x", "http and https addresses only"),
        ("https://a.example/x", "https://inside.example/x", "10.0.0.5 is a private address"),
        ("https://a.example/x", "https://127.0.0.1/x", "127.0.0.1 is a private address"),
        ("http://inside.example/x", "http://169.254.169.254/x", "169.254.169.254 is a private address"),
        ("https://a.example/x", "https://b.example/x", ""),
        ("http://a.example/x", "https://a.example/x", ""),
        ("http://inside.example/x", "http://127.0.0.1/x", ""),
        ("https://a.example/x", "https://unknown.example/x", ""),
    ],
)
def test_where_redirects_may_lead(monkeypatch: pytest.MonkeyPatch, here: str, target: str, reason: str) -> None:
    addresses(monkeypatch, **{"a.example": "93.184.216.34", "b.example": "93.184.216.35", "inside.example": "10.0.0.5"})
    if reason:
        with pytest.raises(FtError, match=reason):
            check_redirect(here, target, {})
    else:
        check_redirect(here, target, {})
    if "private" in reason:
        check_redirect(here, target, {"FT_ALLOW_PRIVATE_REDIRECTS": "1"})


def test_other_addresses_than_of_the_web_are_not_asked() -> None:
    for url in ("file:///etc/passwd", "ftp://host/x", "net.pth", "http://", "http://host:port/x"):
        with pytest.raises(FtError, match=r"http and https addresses only|no web address"):
            get(url)


# What went wrong


def test_statuses_are_told_apart(web: WeightServer) -> None:
    for status, kind in (
        (403, NotThere),
        (404, NotThere),
        (410, NotThere),
        (400, FtError),
        (503, Passing),
        (429, Passing),
    ):
        with pytest.raises(kind, match=f"HTTP {status}"):
            get(web.put("/net.pth", Answer(status=status)))


@pytest.mark.parametrize(
    ("value", "wait"), [("7", 7.0), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("", None)]
)
def test_the_server_may_say_how_long_to_wait(web: WeightServer, value: str, wait: float | None) -> None:
    with pytest.raises(Passing) as raised:
        get(web.put("/net.pth", Answer(status=429, headers={"Retry-After": value})))
    assert raised.value.wait == wait


def wrapped(inner: Exception) -> Exception:
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", inner))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (wrapped(socket.gaierror(-2, "Name or service not known")), "cannot be resolved (DNS): [Errno -2] Name"),
        (wrapped(ssl.SSLCertVerificationError("certificate has expired")), "no trusted connection (TLS): "),
        (
            requests.exceptions.ProxyError(OSError("Tunnel connection failed: 403")),
            "the proxy that the environment names",
        ),
        (requests.ReadTimeout("x"), "no answer in time"),
        (wrapped(ConnectionResetError(104, "Connection reset by peer")), "[Errno 104] Connection reset by peer"),
    ],
)
def test_causes_are_told_in_plain_words(error: Exception, words: str) -> None:
    assert words in explain(error)


def test_a_proxy_of_the_environment_is_used(web: WeightServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", web.url)
    web.put("http://publisher.example/net.pth", b"x")
    get("http://publisher.example/net.pth")
    assert web.asked == ["http://publisher.example/net.pth"]


@pytest.mark.parametrize("text", ["soon", "-1", "0", "1e3", "inf"])
def test_a_timeout_that_is_no_number_of_seconds_is_an_error(text: str) -> None:
    with pytest.raises(FtError, match="FT_HTTP_TIMEOUT=60"):
        http_timeout({"FT_HTTP_TIMEOUT": text})


def test_the_timeout_is_set_by_the_environment() -> None:
    assert http_timeout({"FT_HTTP_TIMEOUT": "2.5"}) == 2.5
    assert http_timeout({}) == 60.0
