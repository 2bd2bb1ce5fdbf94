"""`ft run` in several processes: how they are started, and which of them speaks."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import click

from ft.errors import FtError
from ft.machine.distributed import ProcessLost, processes_asked_for

F = TypeVar("F", bound=Callable[..., Any])
FLAG = "--nproc"


def processes_option(command: F) -> F:
    """Give a command `--nproc N`."""
    return click.option(
        FLAG,
        type=click.IntRange(1),
        metavar="N",
        help="train in N processes on this machine, each with a share of every batch; on more machines: torchrun -m ft",
    )(command)


def start_processes(count: int, arguments: Sequence[str]) -> NoReturn:
    """Run `ft` with these arguments in as many processes on this machine, by the launcher of torchrun, and end as they
    end. Each gets its share of the cores, unless OMP_NUM_THREADS says how many threads it has."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // count)))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes say themselves what is
    how = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id="ft",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(how, sys.executable)("-m", "ft", *arguments)
    except ChildFailedError as error:
        codes = [failure.exitcode for _, failure in sorted(error.failures.items())]
        sys.exit(next((code for code in codes if code > 0), 1))
    except SignalException as asked:
        sys.exit(128 + int(asked.sigval))
    sys.exit(0)


def without_flag(arguments: Sequence[str]) -> list[str]:
    """Arguments without that which says how many processes there are.

    >>> without_flag(["run", "--nproc", "2", "--seed=1"]), without_flag(["run", "--nproc=2"])
    (['run', '--seed=1'], ['run'])
    """
    left, skip = list[str](), False
    for argument in arguments:
        if not skip and argument != FLAG and not argument.startswith(f"{FLAG}="):
            left.append(argument)
        skip = argument == FLAG
    return left


@contextmanager
def one_speaks() -> Iterator[bool]:
    """A block that is told whether this process speaks for all; what is wrong is said once.

    That is the first process's to say: it is told of what ends another one. Where it is lost itself, the next one says
    so.
    """
    share = processes_asked_for()
    try:
        yield share.rank == 0
    except ProcessLost as lost:
        if share.rank != next(rank for rank in range(share.world) if rank not in lost.ranks):
            sys.exit(2)
        raise
    except FtError:
        if share.rank:
            sys.exit(2)
        raise
