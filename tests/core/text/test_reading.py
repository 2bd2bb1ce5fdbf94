from __future__ import annotations

import os
import socket
import sys
import tracemalloc
from pathlib import Path
from types import FrameType

import pytest

from ft.text.reading import check_plain, open_plain, read_bytes, read_text


def test_a_plain_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"caf\xc3\xa9\r\n")
    (tmp_path / "link").symlink_to("file")
    assert read_bytes(tmp_path / "link", 7) == b"caf\xc3\xa9\r\n"
    assert read_text(tmp_path / "file") == "café\r\n"
    with open_plain(tmp_path / "file") as file:
        assert file.read(3) == b"caf"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (check_plain, read_text):
        with pytest.raises(OSError, match="it is a pipe, not a plain file"):
            read(tmp_path / "pipe")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_not_read(device: str) -> None:
    with pytest.raises(OSError, match=r"it is a device, not a plain file|No such device"):
        read_bytes(Path(device), 10)


def test_a_socket_and_a_folder_are_no_files(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match="No such device or address"):
            check_plain(tmp_path / "socket")
    with pytest.raises(IsADirectoryError):
        check_plain(tmp_path)
    with pytest.raises(FileNotFoundError):
        check_plain(tmp_path / "nothing")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bytes(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4e-06 MB"):
        read_bytes(tmp_path / "file", 4)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**13)
    with pytest.raises(OSError, match="larger than 16 MB"):
        read_text(tmp_path / "sparse")


def test_a_small_file_takes_little_memory_whatever_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    tracemalloc.start()
    try:
        assert read_bytes(tmp_path / "file", 2_000_000_000) == b"12345"
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_file_of_no_size_that_grows_while_it_is_read_is_not_read_without_end() -> None:
    assert read_text(Path("/proc/self/status")).startswith("Name:")  # a plain file of 0 bytes
    with pytest.raises(OSError, match="larger than"):
        read_bytes(Path("/proc/self/status"), 10)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # nobody could close it by its name
def test_what_a_signal_raises_while_a_file_is_opened_is_not_lost(tmp_path: Path) -> None:
    """It may come as soon as the file is there: then it is closed once, not by whoever has its number by now."""

    class Asked(BaseException):
        pass

    def receive(frame: FrameType, event: str, called: object) -> None:
        if event == "c_return" and called is open:
            sys.setprofile(None)
            raise Asked

    (tmp_path / "file").write_bytes(b"1")
    sys.setprofile(receive)
    try:
        with pytest.raises(Asked):
            open_plain(tmp_path / "file")
    finally:
        sys.setprofile(None)
