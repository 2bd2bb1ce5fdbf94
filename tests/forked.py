"""Processes that are forked from one that has torch."""

from __future__ import annotations

import os

import torch


def fork() -> int:
    """`os.fork`, for a process that goes on to compute networks.

    After a fork torch makes its pool of threads anew at the first use, without a lock: where two of autograd's threads
    come to it at once, one finds none and ends the process ("Invalid thread pool!"). Here it is made before there is a
    second thread. What is forked must not have trained itself: autograd's threads do not outlive a fork.
    """
    pid = os.fork()
    if pid == 0:
        torch.set_num_threads(torch.get_num_threads())
    return pid
