"""`ft serve`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ft.cli.common import left_out
from ft.cli.ending import flush_output
from ft.cli.using import tta_option
from ft.config.schema import PREDICT_BATCH, PREDICT_PRECISION
from ft.errors import FtError
from ft.machine.memory import garbage_waits
from ft.text.counting import number_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from ft.serving.limits import Batching, Limits
    from ft.serving.served import Served

NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
MB = 1_000_000


@dataclass(frozen=True)
class Wanted:
    """Whose model is served, and how; each process makes its service of this."""

    run: Path
    machine: dict[str, Any]
    limits: Limits
    batching: Batching
    processes: int


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="where to listen; 0.0.0.0 is for every machine")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 is any port that is free"
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="processes, a model in each")
@click.option(
    "--batch-size",
    default=PREDICT_BATCH,
    show_default=True,
    type=click.IntRange(1),
    help="images, of whatever requests, that are computed together at most",
)
@click.option(
    "--batch-wait-ms",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0, 10_000),
    help="how long an image waits for others that are on their way",
)
@click.option("--timeout", default=30.0, show_default=True, type=click.FloatRange(0.1), help="seconds of a request")
@click.option(
    "--max-waiting",
    default=256,
    show_default=True,
    type=click.IntRange(1),
    help="images in a process at once; more are told to come again (503)",
)
@click.option("--max-images", default=64, show_default=True, type=click.IntRange(1), help="images of one request")
@click.option("--max-file-mb", default=20.0, show_default=True, type=click.FloatRange(0.001), help="one image file")
@click.option("--max-request-mb", default=100.0, show_default=True, type=click.FloatRange(0.001), help="one request")
@click.option(
    "--max-megapixels",
    default=50.0,
    show_default=True,
    type=click.FloatRange(0.001, 89),
    help="one image, looked at before it is decoded",
)
@tta_option
@click.option("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, mps")
@click.option("--precision", default=PREDICT_PRECISION, type=click.Choice(["auto", "fp32", "bf16"]), show_default=True)
@click.option("--trust-code", is_flag=True, help="import components that the run names by file or module")
def serve(run: Path, host: str, port: int, workers: int, **given: Any) -> None:
    """Answer about images over HTTP with the model of RUN, or of a folder of `ft export`.

    POST /predict takes files of a form, or one image as the body, and answers as `ft predict --json`. The page at / is
    for people; /health, /metrics and /openapi.json are for programs. SIGTERM finishes what has come, and ends with 0.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise FtError(f"ft serve takes {', '.join(missing)}, which is not installed: pip install 'ftkit[serve]'")
    from ft.machine.display import Display
    from ft.serving.server import address_of, is_loopback, listening, run_here, run_processes

    display = Display()
    wanted = _wanted(run, workers, given)
    with listening(host, port) as listens:
        if names := left_out():  # in each process
            os.environ["FT_DISABLE_PLUGINS"] = ",".join([*names, os.environ.get("FT_DISABLE_PLUGINS", "")])
        served = _served(wanted)
        if not is_loopback(listens):
            display.warn(f"--host {host}: every machine that reaches this one may ask, and no password is asked for")
        said = f", {number_of(workers, 'process', 'processes')}" if workers > 1 else ""
        display.tell(f"{address_of(listens)}  serves {served.name} ({served.task} by {served.computed_by}{said})")
        flush_output()  # whoever started this may wait for the address
        seconds = wanted.limits.seconds
        if workers == 1:
            run_here(_app(served, wanted), listens, seconds)
        else:
            del served  # it was loaded to see that it can be
            run_processes(partial(make_service, wanted), listens, seconds, workers)
    display.say("stopped; what had come was answered")


def make_service(wanted: Wanted) -> ASGIApp:
    """The service in one of several processes. Where it cannot be made, the process says why, and none is started
    anew."""
    from uvicorn.config import STARTUP_FAILURE

    from ft.cli.ending import end_with

    try:
        return _app(_served(wanted), wanted)
    except FtError as error:
        end_with(str(error), STARTUP_FAILURE)


def _wanted(run: Path, processes: int, given: dict[str, Any]) -> Wanted:
    from ft.serving.limits import Batching, Limits

    limits = Limits(
        file_bytes=round(given["max_file_mb"] * MB),
        body_bytes=round(given["max_request_mb"] * MB),
        pixels=round(given["max_megapixels"] * MB),
        images=given["max_images"],
        waiting=given["max_waiting"],
        seconds=given["timeout"],
    )
    machine = {name: given[name] for name in ("device", "precision", "tta", "trust_code", "batch_size")}
    batching = Batching(given["batch_size"], given["batch_wait_ms"] / 1000)
    return Wanted(run, {**machine, "workers": 0}, limits, batching, processes)


def _served(wanted: Wanted) -> Served:
    from ft.cli.using import load_folder
    from ft.exporting.used import Exported

    found = load_folder(wanted.run, wanted.machine)
    if isinstance(found, Exported):
        from ft.serving.of_export import served_export

        return served_export(found)
    with garbage_waits():
        from ft.serving.of_run import served_run
    import torch

    if wanted.processes > 1:
        torch.set_num_threads(_share_of_cores(wanted))
    return served_run(found, str(wanted.run))


def _app(served: Served, wanted: Wanted) -> ASGIApp:
    import logging
    import warnings

    from PIL import Image

    from ft.serving.app import make_app
    from ft.serving.service import Service

    warnings.simplefilter("error", Image.DecompressionBombWarning)  # which is refused, as every image that is too large
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # who sends a broken form is told so
    return make_app(Service(served, wanted.limits, wanted.batching, _share_of_cores(wanted)))


def _share_of_cores(wanted: Wanted) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // wanted.processes)
