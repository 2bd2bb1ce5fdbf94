"""What the addresses of a service answer, over HTTP, by a model that needs no network."""

from __future__ import annotations

import re
import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from ft.serving.limits import Batching, Limits
from serving import Client, brightness, image, serving

GOOD = image(100)


def bomb(side: int) -> bytes:
    """A PNG of 400 bytes that stands for so many pixels squared."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9000))) + chunk(b"IEND", b"")
    )


@contextmanager
def asking(go_on: threading.Event) -> Iterator[ThreadPoolExecutor]:
    """Threads that ask; the model waits until it may go on, at the latest when the test ends, whatever ends it."""
    with ThreadPoolExecutor(50) as threads:
        try:
            yield threads
        finally:
            go_on.set()


BAD = {
    "a bomb": (bomb(8000), 413, "pixels", "8000 x 8000 pixels, and an image may have 50,000,000"),
    "one too large for Pillow": (bomb(20_000), 413, "pixels", "1.png is too large"),
    "truncated": (image(100, (200, 200), "JPEG")[:700], 422, "unreadable", "truncated"),
    "without pixels": (GOOD[:60], 422, "unreadable", "cannot read the image"),
    "foreign": (b"%PDF-1.7 and so on", 415, "format", "not an image, or not one of JPEG"),
    "many scans": (image(100, kind="JPEG") + b"\xff\xda" * 200, 413, "pixels", "a JPEG of 201 scans"),
    "an empty file": (b"", 415, "format", "not an image"),
}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(brightness()) as client:
        yield client


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_the_reason_and_a_good_one_beside_it_has_its_answer(
    client: Client, name: str
) -> None:
    content, status, reason, said = BAD[name]
    found = client.post("/predict", GOOD, content)
    assert (found.status_code, found.json()["reason"]) == (status, reason)
    assert said in found.json()["error"]
    assert "1 of 2 images have no answer" in found.json()["error"]
    good, bad = found.json()["images"]
    assert good == {"path": "0.png", "value": 100, "error": ""}
    assert (bad["path"], bad["value"]) == ("1.png", None)
    assert "1.png" in bad["error"]
    skipped = client.post("/predict?bad_images=skip", GOOD, content)
    assert (skipped.status_code, skipped.json()) == (200, [good, bad])


def test_one_image_may_be_the_body_whatever_it_is_said_to_be(client: Client) -> None:
    for kind in ("image/png", "application/x-www-form-urlencoded", "application/octet-stream"):
        found = client.post("/predict", data=image(7), headers={"Content-Type": kind})
        assert found.json() == [{"path": "body", "value": 7, "error": ""}]


def test_many_at_once_get_their_own_answers_in_fewer_batches_also_beside_bad_ones() -> None:
    waiting = threading.Event()
    with serving(brightness(waiting.wait), batching=Batching(16, 0.05)) as client, asking(waiting) as threads:
        values = [value for value in range(20, 60) if value not in (13, 14)]
        asked = [threads.submit(client.body, "/predict", image(value)) for value in values]
        bad = [threads.submit(client.body, "/predict", content) for content, *_ in BAD.values() if content]
        assert [each.result().status_code for each in bad] == [
            status for content, status, *_ in BAD.values() if content
        ]
        waiting.set()
        assert [each.result().json()[0]["value"] for each in asked] == values
        assert client.counted("ft_batch_images_sum") == client.counted("ft_images_total") == 40
        assert client.counted("ft_batch_images_count") <= 10
        assert client.counted("ft_images_waiting") == 0
        assert client.counted('ft_requests_total{path="/predict",status="200"}') == 40
        assert client.counted('ft_errors_total{reason="pixels"}') == 3
        assert client.counted('ft_request_seconds_bucket{le="60.0",path="/predict"}') == 40 + len(bad)


def test_an_image_that_the_network_cannot_take_is_a_bug_of_its_own_request_alone(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = [threads.submit(client.body, "/predict", image(value)) for value in (10, 11, 13, 12, 15, 14)]
    assert [each.result().status_code for each in found] == [200, 200, 500, 200, 200, 500]
    assert [found[place].result().json()["reason"] for place in (2, 5)] == ["bug", "no-number"]
    while "ValueError: the network cannot take it" not in caplog.text:  # it is told after it is answered
        pass


def test_a_request_that_is_more_than_it_may_be_is_refused_as_soon_as_that_is_known() -> None:
    limits = Limits(file_bytes=1000, body_bytes=3000, images=3, pixels=600)
    with serving(brightness(), limits) as client:

        def refused(*contents: bytes) -> tuple[int, str]:
            found = client.post("/predict", *contents)
            return found.status_code, found.json()["reason"]

        assert refused(GOOD, bytes(1001)) == (413, "file-bytes")
        assert refused(bytes(3001)) == (413, "request-bytes")
        assert refused(*[GOOD] * 4) == (413, "images")
        assert refused(image(1, (30, 21))) == (413, "pixels")
        assert client.post("/predict", *[GOOD] * 3).status_code == 200
        sent: list[int] = []

        def endless() -> Iterator[bytes]:  # without a length
            for number in range(1000):
                sent.append(number)
                yield bytes(100)

        assert client.body("/predict", endless()).json()["reason"] in ("file-bytes", "request-bytes")
        two = client.post("/explain", GOOD, GOOD)
        assert (two.status_code, two.json()["reason"]) == (413, "images")


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (b"", "image/png", "no-image"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", "no-image"),
        (b"nothing of the kind", "multipart/form-data; boundary=x", "multipart"),
        (b"--x--\r\n", "multipart/form-data", "multipart"),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            "multipart",
        ),
    ],
)
def test_a_form_that_cannot_be_read_is_told(client: Client, body: bytes, kind: str, reason: str) -> None:
    found = client.post("/predict", data=body, headers={"Content-Type": kind})
    assert (found.status_code, found.json()["reason"]) == (400, reason), found.text


def test_too_many_that_wait_are_told_to_come_again_and_too_long_is_told_too() -> None:
    go_on = threading.Event()
    limits = Limits(images=2, waiting=2, seconds=0.5)
    with serving(brightness(go_on.wait), limits, Batching(1, 0)) as client, asking(go_on) as threads:
        waits = threads.submit(client.post, "/predict", GOOD, GOOD)
        while client.get("/health").json()["waiting"] < 2:
            pass
        full = client.body("/predict", GOOD)
        assert (full.status_code, full.json()["reason"], full.headers["Retry-After"]) == (503, "full", "1")
        assert (waits.result().status_code, waits.result().json()["reason"]) == (504, "time")
        while (stuck := client.get("/health")).status_code == 200:
            pass
        assert (stuck.status_code, stuck.json()["status"]) == (503, "stuck")
        go_on.set()
        assert client.body("/predict", GOOD).status_code == 200
        assert client.get("/health").json()["status"] == "ok"
        assert client.counted("ft_batch_images_sum") == 2  # one was begun, and the other nobody waited for


@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_an_image_whose_client_has_left_is_not_computed_and_takes_no_room(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()
    with (
        serving(brightness(go_on.wait), Limits(images=1, waiting=2), Batching(1, 0)) as client,
        asking(go_on) as threads,
    ):
        computed = threads.submit(client.body, "/predict", GOOD)
        while client.counted("ft_images_waiting") < 1:
            pass
        with socket.create_connection(client.place) as gone:
            gone.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(GOOD)}\r\n\r\n".encode() + GOOD)
            while client.get("/health").json()["waiting"] < 2:
                pass
        while client.get("/health").json()["waiting"] == 2:
            pass
        stays = threads.submit(client.body, "/predict", image(50))
        while client.get("/health").json()["waiting"] < 2:  # in the room of the one that left
            pass
        go_on.set()
        assert [computed.result().json()[0]["value"], stays.result().json()[0]["value"]] == [100, 50]
        assert client.counted("ft_batch_images_sum") == client.counted("ft_images_total") == 2
        assert client.counted('ft_errors_total{reason="left"}') == 1
        assert client.counted(f'ft_requests_total{{path="{path}",status="499"}}') == 1
        assert client.counted("ft_images_waiting") == 0
    assert not caplog.records


def test_a_client_that_leaves_while_its_image_is_computed_is_counted_and_harms_nobody() -> None:
    go_on = threading.Event()
    with serving(brightness(go_on.wait), batching=Batching(1, 0)) as client, asking(go_on) as threads:
        with socket.create_connection(client.place) as gone:
            gone.sendall(f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(GOOD)}\r\n\r\n".encode() + GOOD)
            while client.get("/health").json()["waiting"] < 1:
                pass
        while client.counted('ft_errors_total{reason="left"}') < 1:
            pass
        stays = threads.submit(client.body, "/predict", image(50))
        go_on.set()
        assert stays.result().json()[0]["value"] == 50


def test_a_request_that_does_not_arrive_is_given_up_and_one_that_ends_is_no_bug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(brightness(), Limits(seconds=0.3)) as client:
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nbegun"
        with socket.create_connection(client.place) as slow, socket.create_connection(client.place) as gone:
            gone.sendall(head)
            gone.close()
            slow.sendall(head)
            assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
        assert client.body("/predict", GOOD).status_code == 200
        while client.counted('ft_errors_total{reason="disconnected"}') < 1:
            pass
    assert not caplog.records


def test_what_is_not_there_is_told_in_the_same_form(client: Client) -> None:
    for found, status, said in (
        (client.get("/nothing"), 404, "GET /nothing: Not Found"),
        (client.get("/predict"), 405, "GET /predict: Method Not Allowed"),
        (client.post("/predict?tpo=3", GOOD), 422, "tpo: Extra inputs"),
        (client.post("/predict?top=0", GOOD), 422, "top: Input should be greater"),
        (client.post("/predict?all=true", GOOD), 422, "the answers of task 'regression' have none"),
        (client.post("/explain?of=brightnes", GOOD), 422, "there is no 'brightnes' to explain. Did you mean"),
    ):
        assert found.status_code == status
        assert said in found.json()["error"]
    assert client.counted('ft_requests_total{path="other",status="404"}') == 1


def test_names_of_files_come_back_as_they_were_and_are_text_in_messages(client: Client) -> None:
    name = "caf\u00e9 <b>\u202e\u732b.png"
    sent = {"images": (name, b"nothing")}
    answered = requests.post(client.address + "/predict?bad_images=skip", files=sent, timeout=60)
    assert answered.json()[0]["path"] == name
    assert "\u202e" not in answered.json()[0]["error"]
    assert re.search(r"caf\u00e9 <b>\\u202e\u732b\.png", answered.json()[0]["error"])


def test_the_page_asks_nobody_else_and_says_why_there_is_no_map(client: Client) -> None:
    found = client.get("/")
    policy = found.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.findall(r"(?:src|href)=\"https?:", found.text)
    told = client.post("/explain", GOOD).json()
    assert (told["map"], told["lacking"], told["answer"]) == (None, "it has no layers", {"value": "100"})
