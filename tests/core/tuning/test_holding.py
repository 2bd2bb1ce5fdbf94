"""Who works on a trial, and who is gone."""

from __future__ import annotations

import os
import subprocess
import sys

from ft.tuning.holding import Holder, Watch, me


def test_a_trial_that_was_let_go_is_nobodys() -> None:
    assert Watch().is_gone(0, None, 3)


def test_a_process_of_this_machine_is_gone_once_it_is_none() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    held = str(Holder(me().host, process.pid, "abc"))
    watch = Watch()
    assert not watch.is_gone(0, held, 1)
    process.kill()
    process.communicate()
    assert watch.is_gone(0, held, 1)


def test_of_another_machine_only_its_signs_of_life_tell() -> None:
    watch, held = Watch(patience=10.0), str(Holder("elsewhere", os.getpid(), "abc"))
    assert not watch.is_gone(0, held, 1, now=0.0)
    assert not watch.is_gone(0, held, 2, now=9.0)
    assert not watch.is_gone(0, held, 2, now=18.0), "it was seen to live at 9"
    assert watch.is_gone(0, held, 2, now=20.0)


def test_who_said_nothing_yet_has_time_to() -> None:
    watch = Watch(patience=10.0)
    assert not watch.is_gone(0, "", 0, now=0.0)
    assert watch.is_gone(0, "", 0, now=11.0)


def test_a_holder_is_read_as_it_was_written() -> None:
    assert Holder.read(str(Holder("a/b c", 7, "t"))) == Holder("a/b c", 7, "t")
