"""Python processes that begin with torch and ft imported: a server imports them once, and forks.

`start` gives a process as `subprocess.Popen` would of `python -c PROGRAM ARGS`: in a session, folder and environment
of its own, with output and an end of its own. Imports are all that it has before, so a test of what is imported, and
when, starts a process itself.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from forked import fork

TESTS = Path(__file__).parent
IMPORTED = (
    *("ft.cli.run", "ft.cli.predict", "ft.cli.data", "ft.finetune", "ft.inference.predict", "ft.model.state_dict"),
    *(
        "ft_torchvision",
        "ft_freeze",
        "ft_heads",
        "ft_weights",
        "ft_data",
        "ft_timm",
        "ft_hub",
        "ft_optim",
        "ft_augment",
        "torchvision.models",
    ),
)
MOST = 1 << 20  # bytes of a request


class WarmProcess:
    """A process that was forked; what it prints goes to files."""

    def __init__(self, connection: socket.socket, out: Any, err: Any) -> None:
        self._connection, self._out, self._err = connection, out, err
        self.returncode: int | None = None
        self.pid = int(connection.recv(MOST))

    def poll(self) -> int | None:
        """How it ended, as Popen's: negative for a signal; None while it runs."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self.returncode = int(self._connection.recv(MOST))
            self._connection.close()
        return self.returncode

    def wait(self, timeout: float) -> int:
        """How it ended. Raises subprocess.TimeoutExpired when it has not within so many seconds."""
        if self.returncode is None:
            select.select([self._connection], [], [], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return code

    def communicate(self, timeout: float = 60) -> tuple[str, str]:
        """What it printed and what it complained of, once it has ended."""
        self.wait(timeout)
        said = []
        for file in (self._out, self._err):
            file.seek(0)
            said.append(file.read())
            file.close()
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def start(program: str, args: Sequence[str], cwd: Path, **environ: str) -> WarmProcess:
    """Start `python -c program args` in `cwd`, in a session of its own; `environ` is added to that of the tests."""
    out, err = (tempfile.TemporaryFile("w+") for _ in range(2))  # noqa: SIM115 (communicate closes them)
    request = {"program": program, "args": list(args), "cwd": str(cwd), "environ": {**os.environ, **environ}}
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(_server())
    socket.send_fds(connection, [json.dumps(request).encode()], [out.fileno(), err.fileno()])
    return WarmProcess(connection, out, err)


@cache
def _server() -> str:
    """The socket of the server, which is started now and ends with this process."""
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    path = f"{folder.name}/socket"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(100)
    search = os.pathsep.join([str(TESTS), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]).rstrip(os.pathsep)
    server = subprocess.Popen(
        [sys.executable, __file__, str(listener.fileno())],
        env={**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1"},  # a thread would not survive the fork
        stdin=subprocess.PIPE,
        pass_fds=[listener.fileno()],
        start_new_session=True,
    )
    listener.close()

    def end() -> None:
        server.communicate()  # it ends where its standard input does
        folder.cleanup()

    atexit.register(end)
    return path


def next_request(listener: socket.socket) -> dict[str, Any]:
    """Fork for every connection; return, in the process that is to run it, what to run."""
    watchers = 0
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        while watchers and os.waitpid(-1, os.WNOHANG)[0]:
            watchers -= 1
        if sys.stdin in ready:
            os._exit(0)
        connection, _ = listener.accept()
        if os.fork() == 0:
            return watched_request(connection, listener)
        watchers += 1
        connection.close()


def watched_request(connection: socket.socket, listener: socket.socket) -> dict[str, Any]:
    """Fork once more: one process runs the program, one waits until that has ended, and says how."""
    message, outputs, _, _ = socket.recv_fds(connection, MOST, 2)
    pid = fork()
    if pid == 0:
        os.setsid()
        connection.send(str(os.getpid()).encode())
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in zip((nothing, *outputs), (0, 1, 2), strict=True):
            os.dup2(source, target)
            os.close(source)
        connection.close()
        listener.close()
        request: dict[str, Any] = json.loads(message)
        return request
    for output in outputs:
        os.close(output)
    _, status = os.waitpid(pid, 0)
    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


if __name__ == "__main__":
    for name in IMPORTED:
        import_module(name)
    gc.freeze()  # what is shared with those that are forked stays shared when they collect garbage, or end
    asked = next_request(socket.socket(fileno=int(sys.argv[1])))
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    sys.argv[:] = ["-c", *asked["args"]]
    sys.path[0] = ""  # as with -c
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 (as long as the process)
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.modules["__main__"] = ModuleType("__main__")
    exec(asked["program"], vars(sys.modules["__main__"]))
