"""Runs an application until a signal ends it: in this process, or in several that listen at one port."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from ft.errors import FtError
from ft.machine.signals import StopAsked
from ft.serving.metrics import SHARED

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_BACKLOG = 2048
_SHUTDOWN = 5
"""Seconds that answers may take to be sent, after the longest that a request may take."""
_STARTING = 300
"""Seconds that a process may take to load its model, and until one that says nothing is started anew."""


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A block in which somebody listens at an address, where 0 is any port that is free. Raises FtError where that is
    impossible."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listens = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise FtError(_said(host, port, error)) from None
    with listens:
        yield listens


def address_of(listens: socket.socket) -> str:
    """Where it can be asked."""
    host, port = listens.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(listens: socket.socket) -> bool:
    """Whether none but this machine can ask."""
    return ipaddress.ip_address(listens.getsockname()[0]).is_loopback


def run_here(app: ASGIApp, listens: socket.socket, seconds: float) -> None:
    """Answer until a signal comes, and then finish what there is, which takes `seconds` at most."""
    server = uvicorn.Server(_config(app, seconds))
    try:
        server.run([listens])
    except StopAsked:
        if not server.should_exit:  # it came by another signal than those that uvicorn finishes on
            raise


def run_processes(make: Callable[[], ASGIApp], listens: socket.socket, seconds: float, processes: int) -> None:
    """The same in so many processes, each of which makes its application; one that dies is started anew. Raises FtError
    where one cannot start."""
    with tempfile.TemporaryDirectory(prefix="ft-serve-") as folder:
        os.environ[SHARED] = folder
        config = _config(make, seconds, processes)
        supervisor = Multiprocess(config, sockets=[listens])
        supervisor.run()
    if any(each.exitcode == STARTUP_FAILURE for each in supervisor.processes):
        raise FtError("a process of the service could not start; it says above why")


def _config(app: ASGIApp | Callable[[], ASGIApp], seconds: float, processes: int | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=processes is not None,
        workers=processes,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=int(seconds) + _SHUTDOWN,
        timeout_worker_healthcheck=_STARTING,
    )


def _said(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; give another by --port, or --port 0 for any that is free"
    if error.errno == errno.EACCES:
        return f"port {port} of {host} is not for everybody; give one from 1024 by --port"
    return f"cannot listen at port {port} of --host {host}: {error.strerror or error}"
