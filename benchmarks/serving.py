"""ft serve beside LitServe with the same module, and beside the module alone; then many requests, a tenth of them bad.

Run with:  python benchmarks/serving.py [--model torchvision:resnet18] [--size 128] [--requests 1000] [--soak 10000]

Both services decode by ft's own code, in batches of the same size, and are asked by the same process in turn, round
by round, while both are up; beside them stands the module with threads that decode for it, without any service, in
the same rounds. So what counts are the ratios; all else is of this machine and what else it does. Exits with 1 where
an answer of the soak has another status than its request is to have, or memory grows by a tenth after the first 2,000
requests.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PEER = Path(__file__).parent / "peers" / "litserve_server.py"
BATCH, WAIT = 32, 0.005
PHOTOS = 64
MOST_GROWTH = 1.10


def photo(number: int) -> bytes:
    """A JPEG of 500 x 375 pixels that compresses as a photograph does, to about 60 KB."""
    drawn = np.random.default_rng(number)
    coarse = Image.fromarray(drawn.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize(
        (500, 375), Image.Resampling.BICUBIC
    )
    pixels = np.asarray(coarse, np.int16) + drawn.integers(-12, 13, (375, 500, 3))
    file = BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


def bad(number: int) -> tuple[bytes, int]:
    """A file that is to be refused, and with which status: a bomb, a truncated photograph, or none at all."""
    if number % 3 == 0:
        file = BytesIO()
        Image.new("1", (9000, 9000)).save(file, "PNG")
        return file.getvalue(), 413
    return (photo(number)[:20_000], 422) if number % 3 == 1 else (b"%PDF-1.7 " * 1000, 415)


def request(content: bytes) -> bytes:
    """A whole request of HTTP with a file in a form."""
    head = (
        b'--x\r\nContent-Disposition: form-data; name="request"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    )
    body = head + content + b"\r\n--x--\r\n"
    about = f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"POST /predict HTTP/1.1\r\nHost: localhost\r\n{about}".encode() + body


async def loaded(port: int, many: int, at_once: int, bad_share: float) -> dict[str, Any]:
    """Ask so many times, by so many connections; tell how long that took, and what came."""
    good = [(request(photo(number)), 200) for number in range(PHOTOS)]
    wrong = [(request(content), status) for content, status in map(bad, range(9))]
    drawn = random.Random(0)
    left = iter([drawn.choice(wrong if drawn.random() < bad_share else good) for _ in range(many)])
    seconds: list[float] = []
    came: Counter[str] = Counter()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for content, expected in left:
            began = time.perf_counter()
            writer.write(content)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length: ")[2].split()[0])
            await reader.readexactly(length)
            seconds.append(time.perf_counter() - began)
            status = int(head.split()[1])
            came["as expected" if status == expected else f"{status} instead of {expected}"] += 1
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(at_once)))
    took = time.perf_counter() - began
    ranked = sorted(seconds)
    return {
        "a_second": many / took,
        "p50": ranked[len(ranked) // 2],
        "p99": ranked[int(len(ranked) * 0.99)],
        "came": came,
    }


def load(port: int, many: int, at_once: int, bad_share: float = 0.0) -> dict[str, Any]:
    """The same, from another process."""
    numbers = [str(each) for each in (port, many, at_once, bad_share)]
    done = subprocess.run([sys.executable, __file__, "--load", *numbers], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


@contextmanager
def service(command: Sequence[str], port: int) -> Iterator[int]:
    """A service that answers, and the number of its process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while True:
            time.sleep(0.2)
            if process.poll() is not None:
                raise SystemExit(f"{command[1]} ended with {process.returncode}")
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
        load(port, 2 * PHOTOS, 16)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def ceiling(run: str, many: int) -> float:
    """Images a second of the module alone, with as many threads as there are cores that decode ahead."""
    import torch

    import ft

    model = ft.load(run, device="cpu", precision="fp32")
    contents = [photo(number) for number in range(PHOTOS)]
    todo = list(itertools.islice(itertools.cycle(contents), many))
    batches = [todo[place : place + BATCH] for place in range(0, many, BATCH)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads, torch.no_grad():

        def decode(batch: Sequence[bytes]) -> Any:
            return threads.map(lambda content: model.prepare(content)[0], batch)

        began = time.perf_counter()
        ahead = decode(batches[0])
        for following in [*batches[1:], None]:
            now, ahead = ahead, decode(following) if following else ahead
            model.module(torch.stack([*now])).softmax(1)
        return many / (time.perf_counter() - began)


def made(folder: Path, model: str, size: int) -> str:
    """The folder of a run with random weights, where the backbone comes with none."""
    import ft

    with warnings.catch_warnings(action="ignore"):
        run = ft.finetune(
            backbone=model,
            weights="none",
            freeze="all",
            data="demo",
            image_size=size,
            epochs=1,
            device="cpu",
            report={"html": False},
            run_dir=folder / "run",
        )
    return str(run.path)


def resident(pid: int) -> float:
    """Megabytes of memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="torchvision:resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--load", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        port, many, at_once, share = options.load
        print(json.dumps(asyncio.run(loaded(int(port), int(many), int(at_once), float(share)))))
        return 0
    cores, busy = os.cpu_count(), os.getloadavg()[0]
    print(f"{platform.processor() or platform.machine()}, {cores} cores, load {busy:.1f} before it began", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        run = made(Path(folder), options.model, options.size)
        found = compared(run, options) if options.rounds else []
        soaked = soak(run, options.soak) if options.soak else {}
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"rounds": found, "soak": soaked}, indent=2))
    return int(bool(soaked) and not soaked["good"])


def commands(run: str, port: int) -> dict[str, list[str]]:
    flags = ["--port", str(port), "--batch-size", str(BATCH), "--batch-wait-ms", str(1000 * WAIT), "--device", "cpu"]
    return {
        "ft serve": [sys.executable, "-m", "ft", "serve", run, *flags],
        "LitServe": [sys.executable, str(PEER), run, str(port), str(BATCH), str(WAIT)],
    }


def one_round(run: str, ports: dict[str, int], options: argparse.Namespace) -> dict[str, Any]:
    one: dict[str, Any] = {"ceiling": ceiling(run, options.requests)}
    for name, port in ports.items():
        one[name] = {
            "many": load(port, options.requests, options.at_once),
            "one": load(port, max(30, options.requests // 10), 1),
        }
    return one


def told(number: int, one: dict[str, Any]) -> None:
    print(f"round {number + 1}: {one['ceiling']:.0f} images a second by the module alone", flush=True)
    for name in ("ft serve", "LitServe"):
        many, alone = one[name]["many"], one[name]["one"]
        print(
            f"  {name}: {many['a_second']:.0f} a second, {many['a_second'] / one['ceiling']:.0%} of that; "
            f"p50 {1000 * many['p50']:.0f} ms, p99 {1000 * many['p99']:.0f} ms; one at a time p50 "
            f"{1000 * alone['p50']:.1f} ms, p99 {1000 * alone['p99']:.1f} ms; {many['came']}",
            flush=True,
        )


def compared(run: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    rounds = []
    ports = {name: free_port() for name in ("ft serve", "LitServe")}
    with ExitStack() as stack:
        for name, port in ports.items():
            stack.enter_context(service(commands(run, port)[name], port))
        for number in range(options.rounds):
            rounds.append(one_round(run, ports, options))
            told(number, rounds[-1])
    ratios = [one["ft serve"]["many"]["a_second"] / one["LitServe"]["many"]["a_second"] for one in rounds]
    shares = [one["ft serve"]["many"]["a_second"] / one["ceiling"] for one in rounds]
    print(
        f"ft serve answers {statistics.median(ratios):.2f} times as many as LitServe ({min(ratios):.2f} to "
        f"{max(ratios):.2f}), {statistics.median(shares):.0%} of the ceiling ({min(shares):.0%} to {max(shares):.0%})"
    )
    return rounds


def soak(run: str, many: int) -> dict[str, Any]:
    """Many requests, a tenth of them bad: what came, and the memory meanwhile."""
    port, parts = free_port(), 10
    with service(commands(run, port)["ft serve"], port) as pid:
        memory, came = [resident(pid)], Counter[str]()
        for _ in range(parts):
            came.update(load(port, many // parts, 32, bad_share=0.1)["came"])
            memory.append(resident(pid))
    good = set(came) == {"as expected"} and memory[-1] <= MOST_GROWTH * memory[2]
    told = ", ".join(f"{each:.0f}" for each in memory)
    print(f"{many} requests, a tenth of them bad: {dict(came)}; MB of memory, before and after each tenth: {told}")
    return {"came": came, "memory_mb": memory, "good": good}


if __name__ == "__main__":
    sys.exit(main())
