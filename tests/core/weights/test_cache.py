from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from ft import FtError, WeightEntry
from ft.machine.files import temporary_beside
from ft.machine.transfer import Transfer
from ft.weights.cache import Cache, check_file_name, hub_folder, offline_by, open_cache
from weight_server import Answer, WeightServer


def saved(**tensors: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


CONTENT = saved(weight=torch.arange(5000.0))
DIGEST = hashlib.sha256(CONTENT).hexdigest()
ENTRY = WeightEntry("V1", "net-1234.pth", sha256=DIGEST[:8])
UNVERIFIABLE = dataclasses.replace(ENTRY, sha256="")
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


@pytest.fixture
def weight_cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "checkpoints", tmp_path / "records", pauses=(0.0, 0.0))


def again(cache: Cache, **changes: Any) -> Cache:
    """The same folders as a later process sees them."""
    return dataclasses.replace(cache, notes=[], _digests={}, **changes)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# Downloads


@pytest.mark.parametrize("sha256", [DIGEST, DIGEST[:8], DIGEST[:10].upper(), ""])
def test_a_good_download_is_published_whole(web: WeightServer, weight_cache: Cache, sha256: str) -> None:
    url = web.put("/net.pth", CONTENT)
    path = weight_cache.download(dataclasses.replace(ENTRY, sha256=sha256), url)
    assert path == weight_cache.folder / "net-1234.pth"
    assert path.read_bytes() == CONTENT
    assert names(weight_cache.folder) == ["net-1234.pth"]
    assert web.headers[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("entry", [ENTRY, UNVERIFIABLE], ids=["digest", "no digest"])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(CONTENT[:-7], length=len(CONTENT)), "tried 3 times"),
        (
            Answer(CONTENT, length=len(CONTENT) - 7),
            "what came from http.*/net.pth is an incomplete or damaged .pth file",
        ),
        (Answer(CONTENT[:-7]), r"incomplete or damaged .pth file"),
        (Answer(PAGE), "what came from http.*/net.pth is no weight file .*: it is a web page"),
        (Answer(b""), "it is empty"),
        (Answer(CONTENT, 404), "/net.pth: HTTP 404 Not Found"),
        (Answer(CONTENT, 403), "/net.pth: HTTP 403 Forbidden"),
        (Answer(CONTENT, 206), "HTTP 206"),
        (Answer(CONTENT, 503), r"HTTP 503 Service Unavailable \(tried 3 times\)"),
        (Answer(CONTENT, headers={"Content-Encoding": "gzip"}), "gzip-encoded"),
        (
            Answer(b"", 302, {"Location": "file:///etc/passwd"}),
            "refused to be redirected to file:///etc/passwd: ft fetches from http and https",
        ),
    ],
)
def test_an_answer_that_is_not_the_file_is_never_published(
    web: WeightServer, weight_cache: Cache, entry: WeightEntry, answer: Answer, reason: str
) -> None:
    with pytest.raises(FtError, match=reason):
        weight_cache.download(entry, web.put("/net.pth", answer))
    assert names(weight_cache.folder) == []
    assert names(weight_cache.records) == []


def test_another_file_of_the_right_format_is_told_by_its_digest(web: WeightServer, weight_cache: Cache) -> None:
    other = saved(weight=torch.zeros(5000))
    digest = hashlib.sha256(other).hexdigest()
    with pytest.raises(FtError, match=f"what came from .* is damaged or not V1: sha256 is {digest[:8]}, should be "):
        weight_cache.download(ENTRY, web.put("/net.pth", other))
    assert names(weight_cache.folder) == []
    assert len(web.asked) == 1


def test_without_a_digest_the_size_decides(web: WeightServer, weight_cache: Cache) -> None:
    with pytest.raises(FtError, match=rf"has {len(CONTENT)} bytes, should have 5"):
        weight_cache.download(dataclasses.replace(UNVERIFIABLE, size=5), web.put("/net.pth", CONTENT))
    assert weight_cache.download(dataclasses.replace(UNVERIFIABLE, size=len(CONTENT)), web.url + "/net.pth").is_file()


@pytest.mark.parametrize("first", [Answer(b"busy", 503), Answer(b"", 429), Answer(CONTENT[:50], length=len(CONTENT))])
def test_failures_that_pass_are_tried_again(web: WeightServer, weight_cache: Cache, first: Answer) -> None:
    weight_cache.download(ENTRY, web.put("/net.pth", first, first, Answer(CONTENT)))
    assert len(web.asked) == 3


def test_the_next_url_is_asked_only_where_the_first_is_unknown_or_closed(
    web: WeightServer, weight_cache: Cache
) -> None:
    good = web.put("/below/net.pth", CONTENT)
    with pytest.raises(FtError, match="HTTP 501"):
        weight_cache.download(ENTRY, web.put("/broken.pth", Answer(status=501)), good)
    weight_cache.download(ENTRY, web.url + "/unknown.pth", web.put("/closed.pth", Answer(status=403)), good)
    assert web.asked == ["/broken.pth", "/unknown.pth", "/closed.pth", "/below/net.pth"]


def test_a_server_that_is_not_there_is_told_with_the_cause(weight_cache: Cache) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        FtError, match=rf"^http://127.0.0.1:{port}/net.pth: .*\[Errno \d+\] .*refused \(tried 3 times\)$"
    ):
        weight_cache.download(ENTRY, f"http://127.0.0.1:{port}/net.pth")


def test_progress_says_bytes_and_time_left(web: WeightServer, weight_cache: Cache) -> None:
    seen: list[Transfer] = []
    again(weight_cache, progress=seen.append).download(ENTRY, web.put("/net.pth", CONTENT))
    assert (seen[0].done, seen[0].total, seen[0].seconds_left) == (0, len(CONTENT), None)
    assert (seen[-1].done, seen[-1].seconds_left) == (len(CONTENT), 0.0)
    assert {transfer.file_name for transfer in seen} == {"net-1234.pth"}


def test_time_left_follows_from_the_rate() -> None:
    assert Transfer("x", 100, 400, 50.0).seconds_left == 6.0
    assert Transfer("x", 100, None, 50.0).seconds_left is None


# The folder


def test_what_is_in_the_folder_is_not_fetched_again(web: WeightServer, weight_cache: Cache) -> None:
    url = web.put("/net.pth", CONTENT)
    first = weight_cache.download(ENTRY, url)
    assert again(weight_cache).download(ENTRY, url) == first
    assert again(weight_cache).find(ENTRY) == first
    assert len(web.asked) == 1


def test_what_a_process_left_that_was_killed_once_the_file_was_there_goes_with_its_next_use(
    web: WeightServer, weight_cache: Cache
) -> None:
    path = weight_cache.path(ENTRY)
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    left = temporary_beside(path, ".part", pid=0)
    left.with_name(f"{left.name}.json").write_text("{}")
    assert weight_cache.download(ENTRY, web.put("/net.pth", CONTENT)) == path
    assert names(weight_cache.folder) == [path.name]
    assert web.headers == []


def test_an_empty_folder_holds_nothing(weight_cache: Cache) -> None:
    assert weight_cache.find(ENTRY) is None


@pytest.mark.parametrize("entry", [ENTRY, UNVERIFIABLE], ids=["digest", "no digest"])
def test_a_flipped_bit_is_found_and_the_file_fetched_again(
    web: WeightServer, weight_cache: Cache, entry: WeightEntry
) -> None:
    path = weight_cache.download(entry, web.put("/net.pth", CONTENT))
    flip_a_bit(path)
    damaged = path.read_bytes()
    with pytest.raises(FtError, match=r"damaged or not V1|has changed since ft first saw it"):
        again(weight_cache).find(entry)
    assert path.read_bytes() == damaged
    later = again(weight_cache)
    assert later.download(entry, web.url + "/net.pth").read_bytes() == CONTENT
    aside = f"net-1234.pth.bad-{hashlib.sha256(damaged).hexdigest()[:8]}"
    assert names(weight_cache.folder) == ["net-1234.pth", aside]
    assert any(aside in note for note in later.notes)
    assert again(weight_cache).find(entry) == path


def test_a_damaged_file_stays_where_it_is_when_no_other_can_be_had(web: WeightServer, weight_cache: Cache) -> None:
    path = weight_cache.download(ENTRY, web.put("/net.pth", CONTENT))
    flip_a_bit(path)
    web.put("/net.pth", Answer(status=404))
    later = again(weight_cache)
    with pytest.raises(FtError, match="HTTP 404"):
        later.download(ENTRY, web.url + "/net.pth")
    assert names(weight_cache.folder) == ["net-1234.pth"]
    assert "damaged or not V1" in later.notes[0]


def test_the_whole_digest_is_recorded_at_first_and_compared_ever_after(weight_cache: Cache) -> None:
    weight_cache.folder.mkdir()
    path = weight_cache.folder / ENTRY.file_name
    path.write_bytes(CONTENT)
    assert weight_cache.find(UNVERIFIABLE) == path
    (record,) = weight_cache.records.iterdir()
    assert json.loads(record.read_text())["sha256"] == DIGEST
    path.write_bytes(saved(weight=torch.zeros(5000)))
    with pytest.raises(FtError, match=f"on purpose, delete {record}"):
        again(weight_cache).find(UNVERIFIABLE)
    record.unlink()
    assert again(weight_cache).find(UNVERIFIABLE) == path


def test_a_record_that_cannot_be_read_is_named(weight_cache: Cache) -> None:
    weight_cache.folder.mkdir()
    (weight_cache.folder / ENTRY.file_name).write_bytes(CONTENT)
    weight_cache.find(ENTRY)
    (record,) = weight_cache.records.iterdir()
    record.write_text("[]")
    with pytest.raises(FtError, match=f"the record {record} cannot be read"):
        again(weight_cache).find(ENTRY)


def test_a_folder_for_records_that_cannot_be_written_is_a_note(weight_cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "records").write_text("in the way")
    weight_cache.folder.mkdir()
    (weight_cache.folder / ENTRY.file_name).write_bytes(CONTENT)
    assert weight_cache.find(ENTRY) is not None
    assert "could not be recorded" in weight_cache.notes[0]


def test_a_missing_digest_is_said(web: WeightServer, weight_cache: Cache) -> None:
    weight_cache.download(UNVERIFIABLE, web.put("/net.pth", CONTENT))
    assert weight_cache.notes == ["no digest is published for net-1234.pth: its content cannot be verified"]


def test_files_elsewhere_are_verified_where_they_lie(weight_cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.pth"
    path.write_bytes(CONTENT)
    assert weight_cache.verify(ENTRY, path) == path
    flip_a_bit(path)
    with pytest.raises(FtError, match=r"elsewhere.pth is damaged or not V1"):
        again(weight_cache).verify(ENTRY, path)
    with pytest.raises(FtError, match=r"cannot read .*gone.pth"):
        weight_cache.verify(ENTRY, tmp_path / "gone.pth")


@pytest.mark.parametrize("name", ["../x.pth", "/x.pth", "a/x.pth", "..", ".", "", "C:x.pth", "a\\x.pth", ".x", "a\nb"])
def test_names_that_would_leave_the_folder_are_refused(web: WeightServer, weight_cache: Cache, name: str) -> None:
    entry = dataclasses.replace(ENTRY, file_name=name)
    for use in (lambda: weight_cache.find(entry), lambda: weight_cache.download(entry, web.put("/net.pth", CONTENT))):
        with pytest.raises(FtError, match="plain name"):
            use()
    assert web.asked == []
    assert check_file_name("vit_b_16-c867db91.pth") == "vit_b_16-c867db91.pth"


# torch.hub's folder


@pytest.mark.parametrize(
    "environ", [{}, {"TORCH_HOME": "~/t"}, {"XDG_CACHE_HOME": "/x"}, {"TORCH_HOME": "/t", "XDG_CACHE_HOME": "/x"}]
)
def test_the_folder_is_that_of_torch_hub(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"


def test_the_folder_is_shared_with_torch_hub_both_ways(
    web: WeightServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "ft"))
    for name in ("FT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    ours = WeightEntry("ours", f"ours-{DIGEST[:8]}.pth", sha256=DIGEST[:8])
    open_cache().download(ours, web.put("/" + ours.file_name, CONTENT))
    web.put("/" + ours.file_name, Answer(status=404))
    torch.hub.load_state_dict_from_url(web.url + "/" + ours.file_name, check_hash=True, weights_only=True)

    theirs = dataclasses.replace(ours, file_name=f"theirs-{DIGEST[:8]}.pth")
    torch.hub.load_state_dict_from_url(
        web.put("/" + theirs.file_name, CONTENT), check_hash=True, weights_only=True, progress=False
    )
    monkeypatch.setenv("FT_OFFLINE", "1")
    found = open_cache().download(theirs, web.url + "/" + theirs.file_name)
    assert found == tmp_path / "torch" / "hub" / "checkpoints" / theirs.file_name


# Offline


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"FT_OFFLINE": "1"}, "FT_OFFLINE=1"),
        ({"HF_HUB_OFFLINE": "YES"}, "HF_HUB_OFFLINE=YES"),
        ({"FT_OFFLINE": "0", "HF_HUB_OFFLINE": ""}, ""),
        ({}, ""),
    ],
)
def test_offline_is_said_by_the_environment(environ: dict[str, str], said: str) -> None:
    assert offline_by(environ) == said


def test_offline_opens_no_socket(weight_cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    offline = again(weight_cache, offline="FT_OFFLINE=1")
    with pytest.raises(FtError, match=r"FT_OFFLINE=1, so nothing is fetched from http://mirror.example/net.pth"):
        offline.download(ENTRY, "http://mirror.example/net.pth")
    weight_cache.folder.mkdir()
    (weight_cache.folder / ENTRY.file_name).write_bytes(CONTENT)
    assert offline.download(ENTRY, "http://mirror.example/net.pth").is_file()
