"""One HTTP request for a weight file: in time, to hosts that may be asked, credentials only where they belong."""

from __future__ import annotations

import ipaddress
import os
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TypeVar, cast
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

import requests
import urllib3

from ft._version import __version__
from ft.errors import FtError
from ft.text.redaction import shown

TIMEOUT_VARIABLE = "FT_HTTP_TIMEOUT"
PRIVATE_VARIABLE = "FT_ALLOW_PRIVATE_REDIRECTS"
T = TypeVar("T")
_MOST_REDIRECTS = 10
_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
_ABSENT_STATUS = {403, 404, 410}  # object stores answer 403 for what they do not have
_REDIRECTS = {301, 302, 303, 307, 308}
NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""What reading from a connection may raise."""


class NotThere(FtError):
    """The server answers that it has nothing for us under this URL (403, 404 or 410)."""


class Passing(Exception):
    """A failure that may pass by itself, so another try makes sense, after `wait` seconds if the server said so."""

    def __init__(self, text: str, wait: float | None = None) -> None:
        super().__init__(text)
        self.wait = wait


def http_timeout(environ: Mapping[str, str] = os.environ) -> float:
    """Return how many seconds without progress are too many: $FT_HTTP_TIMEOUT, by default 60. Raises FtError."""
    text = environ.get(TIMEOUT_VARIABLE) or "60"
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) <= 0:
        raise FtError(f"{TIMEOUT_VARIABLE} is '{text}'; give seconds, as in {TIMEOUT_VARIABLE}=60")
    return float(text)


def open_url(
    url: str, headers: Mapping[str, str], seconds: float, note: Callable[[str], None]
) -> tuple[requests.Response, str]:
    """Ask for `url`, following redirects, and return the answer (200 or 206), its body unread, with the final URL.

    Nothing takes longer than `seconds`: neither names that do not resolve nor headers that trickle in. A redirect to
    another host is noted; one from https to http, to another scheme, or from a public host to a private address is
    refused. User and password of the URL (else of ~/.netrc) go to the host they are for and to no other. Raises
    Passing, NotThere and FtError.
    """
    bare, credentials = _split_credentials(url)
    origin, here, end = _origin(bare), bare, time.monotonic() + seconds
    for _ in range(_MOST_REDIRECTS):
        left = max(end - time.monotonic(), 0.001)
        response = _ask(here, headers, credentials if _origin(here) == origin else None, left)
        if response.status_code not in _REDIRECTS or "Location" not in response.headers:
            return _accepted(response, here), here
        response.close()
        target = _redirected(here, response.headers["Location"])
        _within(end - time.monotonic(), partial(check_redirect, here, target))
        if urlsplit(target).hostname != urlsplit(here).hostname:
            note(f"{shown(here)} was redirected to another host: {shown(target)}")
        here = target
    raise FtError(f"{shown(url)}: more than {_MOST_REDIRECTS} redirects, the last to {shown(here)}")


def check_redirect(here: str, target: str, environ: Mapping[str, str] = os.environ) -> None:
    """Raise FtError for a redirect that leads where a file's publisher has no business to send anyone."""
    old, new = urlsplit(here), urlsplit(target)
    where = f"{shown(here)}: refused to be redirected to {shown(target)}"
    if new.scheme not in ("http", "https") or not new.hostname:
        raise FtError(f"{where}: ft fetches from http and https addresses only")
    if old.scheme == "https" and new.scheme == "http":
        raise FtError(f"{where}: it is not encrypted, unlike the first address")
    if new.hostname == old.hostname or environ.get(PRIVATE_VARIABLE, "").lower() in ("1", "true", "yes", "on"):
        return
    inside = _private_address(new.hostname)
    # Within a private network hosts may name each other, but no host names the link-local services of a machine.
    if inside and (inside.is_link_local or not _private_address(old.hostname or "")):
        raise FtError(f"{where}: {inside} is a private address; if you trust it, set {PRIVATE_VARIABLE}=1")


def explain(error: BaseException) -> str:
    """Say what went wrong with a connection, in the words of whoever has to mend it."""
    causes = list(_causes(error))
    inner = causes[-1]
    reason = shown(str(inner).rpartition("): ")[2] or type(inner).__name__)
    if any(isinstance(cause, socket.gaierror | urllib3.exceptions.NameResolutionError) for cause in causes):
        return f"the host's name cannot be resolved (DNS): {reason}"
    if any(isinstance(cause, ssl.SSLError | requests.exceptions.SSLError) for cause in causes):
        return f"no trusted connection (TLS): {reason}"
    if any(isinstance(cause, requests.exceptions.ProxyError | urllib3.exceptions.ProxyError) for cause in causes):
        return f"the proxy that the environment names does not work: {reason}"
    timeouts = (TimeoutError, requests.Timeout, urllib3.exceptions.ReadTimeoutError)
    if any(isinstance(cause, timeouts) for cause in causes):
        return "no answer in time"
    return reason


def _ask(
    url: str, headers: Mapping[str, str], credentials: tuple[str, str] | None, seconds: float
) -> requests.Response:
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise FtError(
            f"{shown(url)}: ft fetches from http and https addresses only; for a file of yours use local:PATH"
        )
    # A transparently compressed body would be neither the bytes that were hashed nor as long as announced.
    sent = {"Accept-Encoding": "identity", "User-Agent": f"ft/{__version__}", **headers}

    def get() -> requests.Response:
        return requests.get(url, headers=sent, auth=credentials, stream=True, timeout=seconds, allow_redirects=False)

    try:
        return _within(seconds, get)
    except requests.exceptions.SSLError as error:
        raise FtError(f"{shown(url)}: {explain(error)}") from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise Passing(explain(error)) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise FtError(f"{shown(url)}: {explain(error)}") from error


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Return what `call` returns. Raises Passing when it takes longer, whatever it is waiting for."""
    outcomes: queue.SimpleQueue[tuple[T, None] | tuple[None, Exception]] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcomes.put((call(), None))
        except Exception as error:
            outcomes.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        value, error = outcomes.get(timeout=max(seconds, 0.001))
    except queue.Empty:
        raise Passing("no answer in time") from None
    if error is not None:
        raise error
    return cast(T, value)


def _accepted(response: requests.Response, url: str) -> requests.Response:
    status = f"HTTP {response.status_code} {response.reason}"
    if response.status_code in (200, 206, 416):
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            response.close()
            raise FtError(f"{shown(url)}: the server sent the file {encoding}-encoded, which was not asked for")
        return response
    response.close()
    if response.status_code in _PASSING_STATUS:
        raise Passing(status, _retry_after(response.headers.get("Retry-After", "")))
    hint = {
        401: "; it wants a user and password: write USER:PASSWORD@ before the host, or keep them in ~/.netrc",
        403: "; it does not let you, or has no such file",
        407: "; the proxy wants a user and password",
    }.get(response.status_code, "")
    kind = NotThere if response.status_code in _ABSENT_STATUS else FtError
    raise kind(f"{shown(url)}: {status}{hint}")


def _retry_after(text: str) -> float | None:
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
        return max((when - when.now(when.tzinfo)).total_seconds(), 0.0)
    except (TypeError, ValueError, OverflowError):
        return None


def _split_credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    try:
        parts = urlsplit(url)
        user, password, _ = parts.username, parts.password, parts.port
    except ValueError as error:
        raise FtError(f"{shown(url)} is no web address: {error}") from None
    host = parts.netloc.rpartition("@")[2]
    bare = urlunsplit(SplitResult(parts.scheme, host, parts.path, parts.query, ""))
    return bare, (unquote(user or ""), unquote(password or "")) if user or password else None


def _redirected(here: str, location: str) -> str:
    try:
        return _split_credentials(urljoin(here, location))[0]
    except (FtError, ValueError):
        raise FtError(f"{shown(here)}: redirects to {shown(location)}, which is no web address") from None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _private_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address of `host` that is not of the public internet, if it has one."""
    try:
        found = {str(each[4][0]).partition("%")[0] for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
        addresses = [ipaddress.ip_address(each) for each in sorted(found)]
    except (OSError, ValueError):  # behind a proxy names may not resolve; then the proxy decides whom it connects
        return None
    return next((each for each in addresses if not each.is_global), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what is inside the layers that requests and urllib3 wrap around it, the innermost last."""
    yield error
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            yield from _causes(inner)
            return
