"""What OpenVINO leaves of the process in which it computes."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed; make exporters installs it"),
]
LOADED_TWICE = """
import signal
import sys
from pathlib import Path

import numpy as np
import openvino
from openvino import opset13
from ft_export.openvino import load

folder = Path(sys.argv[1])
images = opset13.parameter([-1, 2], np.float32)
model = openvino.Model([opset13.relu(images)], [images], "relu")
model.set_rt_info("logits", ["ft", "outputs"])
openvino.save_model(model, folder / "model.xml")
signal.signal(signal.SIGTERM, lambda *_: print("told"))
first, second = load(folder), load(folder)
print(first(np.float32([[-1, 2]]))["logits"].tolist(), second(np.float32([[3, -4]]))["logits"].tolist())
del first
signal.raise_signal(signal.SIGTERM)
del second
signal.raise_signal(signal.SIGTERM)
"""


def test_signals_are_handled_when_files_were_let_go_of_in_the_order_in_which_they_were_loaded(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LOADED_TWICE, str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[[0.0, 2.0]] [[3.0, 0.0]]\ntold\ntold\n"), done.stderr
