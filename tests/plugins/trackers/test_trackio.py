"""The tracker `trackio`, with the library: `make trackers` installs it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("trackio") is None, reason="trackio is not installed; make trackers installs it"),
]

PROGRAM = """
import json, sys
from pathlib import Path
from ft_trackers.trackio import Settings, track
from ft.testing import told_by_run

folder, before, fails = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "fails"
listen = track(Settings())
for event in told_by_run(folder, before=before, fails=fails):
    listen(event)
assert sys.argv[3] != "twice" or not track(Settings())(told_by_run(folder / "other")[0])
from trackio.sqlite_storage import SQLiteStorage
runs = SQLiteStorage.get_runs("ft")
print(json.dumps({run: SQLiteStorage.get_logs("ft", run) for run in runs}, default=str))
print(json.dumps(SQLiteStorage.get_run_config("ft", runs[0]), default=str))
"""


def tell(folder: Path, before: int = 0, how: str = "ends") -> subprocess.CompletedProcess[str]:
    """Tell of a run in a process of its own, in which alone Trackio keeps things in this folder."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    line = [sys.executable, "-c", PROGRAM, str(folder), str(before), how]
    return subprocess.run(line, env=environ, capture_output=True, text=True)


def test_figures_and_config_are_kept_in_the_run_s_folder(tmp_path: Path) -> None:
    import json

    done = tell(tmp_path / "mine")
    assert done.returncode == 0, done.stderr
    logs, config = (json.loads(line) for line in done.stdout.splitlines())
    (lines,) = logs.values()
    assert [(line["step"], line["train_loss"]) for line in lines] == [(1, 2.0), (2, 1.0)]
    assert config["training"]["epochs"] == 2
    assert list((tmp_path / "mine" / "trackio").glob("*.db"))


def test_a_run_that_goes_on_is_the_same_run(tmp_path: Path) -> None:
    import json

    tell(tmp_path / "mine", how="fails")
    done = tell(tmp_path / "mine", before=2)
    assert done.returncode == 0, done.stderr
    (lines,) = json.loads(done.stdout.splitlines()[0]).values()
    assert [line["step"] for line in lines] == [1, 2, 3, 4]


def test_another_folder_in_the_same_process_is_refused(tmp_path: Path) -> None:
    done = tell(tmp_path / "mine", how="twice")
    assert (
        f"FtError: Trackio writes to {tmp_path / 'mine' / 'trackio'} for as long as this process lives" in done.stderr
    )
