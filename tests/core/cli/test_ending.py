from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from ft.cli.ending import explanation
from ft.errors import FtError

MAIN = "from ft.cli import main; main()"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FtError("that is no freeze"), "that is no freeze"),
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), "cannot use /root/x: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "cannot print, or write a file: No space left on device"),
        (MemoryError(), "memory ran out: MemoryError. Free some, or allow more (ulimit -v)"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "memory ran out: libtorch.so: failed"),
        (RuntimeError("can't start new thread"), "memory ran out: can't start new thread"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory ran out: DefaultCPUAllocator"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory ran out"),
    ],
)
def test_what_a_user_or_the_machine_is_at_fault_for_is_one_line(error: BaseException, said: str) -> None:
    assert explanation(error).startswith(said)


@pytest.mark.parametrize(
    "error", [ValueError("x"), ImportError("no module x"), RuntimeError("shapes"), OSError(errno.EBADF, "bad")]
)
def test_a_bug_stays_a_traceback(error: BaseException) -> None:
    assert explanation(error) == ""


def test_output_that_cannot_be_written_is_one_line_and_a_reader_who_has_enough_none() -> None:
    args = [sys.executable, "-c", MAIN, "describe", "head:linear"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(args, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: cannot print, or write a file: No space left on device\n")
    piped = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert piped.stdout is not None
    piped.stdout.close()
    assert piped.communicate()[1] == b""


def test_a_limit_for_files_is_named() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from pathlib import Path; from ft.machine.files import publish_bytes; publish_bytes(Path('big'), b'x' * 5000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "cannot write big: it becomes larger than files may be here; see ulimit -f" in done.stderr
    assert not Path("big").exists()
