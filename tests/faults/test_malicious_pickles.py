"""Files whose reading would run code: whatever reads them, nothing runs."""

from __future__ import annotations

import functools
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ft import FtError, WeightEntry
from ft.config.schema import WeightsConfig
from ft.extension.installed import load_plugins
from ft.model.state_dict import read_tensors
from ft.run.checkpoints import load_checkpoint, load_tensors
from ft.weights.cache import Cache
from ft.weights.choice import choose_weights, fetch_weights

TOUCH = "__import__('pathlib').Path('RAN').touch()"


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def call(module: str, name: str, *arguments: str) -> bytes:
    """`module.name(*arguments)`, by the opcodes GLOBAL and REDUCE."""
    return f"c{module}\n{name}\n(".encode() + b"".join(map(text, arguments)) + b"tR"


def stack_call(module: str, name: str, *arguments: str) -> bytes:
    """The same by STACK_GLOBAL."""
    return text(module) + text(name) + b"\x93(" + b"".join(map(text, arguments)) + b"tR"


def inst(module: str, name: str, *arguments: str) -> bytes:
    """The same by INST."""
    return b"(" + b"".join(map(text, arguments)) + f"i{module}\n{name}\n".encode()


def obj(module: str, name: str, *arguments: str) -> bytes:
    """The same by OBJ."""
    return f"(c{module}\n{name}\n".encode() + b"".join(map(text, arguments)) + b"o"


def in_state_dict(code: bytes) -> bytes:
    """A state dict one of whose values is what `code` makes."""
    return b"}(" + text("weight") + code + b"u"


SHELL = ("touch RAN",)
PYTHON = (TOUCH,)
CALLS = [
    ("os", "system", SHELL),
    ("posix", "system", SHELL),
    ("nt", "system", SHELL),
    ("os", "popen", SHELL),
    ("subprocess", "getoutput", SHELL),
    ("subprocess", "check_output", ("touch RAN",)),
    ("subprocess", "Popen", ("touch",)),
    ("builtins", "eval", PYTHON),
    ("builtins", "exec", PYTHON),
    ("__builtin__", "eval", PYTHON),
    ("builtins", "compile", (TOUCH, "x", "exec")),
    ("builtins", "__import__", ("antigravity",)),
    ("builtins", "open", ("RAN", "w")),
    ("io", "open", ("RAN", "w")),
    ("pathlib", "Path.touch", ("RAN",)),
    ("importlib", "import_module", ("antigravity",)),
    ("runpy", "run_path", ("evil.py",)),
    ("timeit", "timeit", PYTHON),
    ("pdb", "run", PYTHON),
    ("code", "interact", ()),
    ("ctypes", "CDLL", ("evil.so",)),
    ("pickle", "loads", ("cos\nsystem\n(S'touch RAN'\ntR.",)),
    ("torch", "load", ("evil.pth",)),
    ("torch.hub", "load", ("evil/repo", "evil")),
    ("torch.jit", "load", ("evil.pt",)),
    ("torch.serialization", "load", ("evil.pth",)),
    ("torch.utils.cpp_extension", "load", ("evil", "evil.cpp")),
    ("numpy.testing._private.utils", "runstring", (TOUCH, "")),
    ("operator", "attrgetter", ("__class__",)),
    ("shutil", "rmtree", (".",)),
    ("webbrowser", "open", ("http://127.0.0.1:9/",)),
    ("ft_nowhere", "anything", ()),
]
FORMS: dict[str, Callable[..., bytes]] = {"GLOBAL": call, "STACK_GLOBAL": stack_call, "INST": inst, "OBJ": obj}


class Reduced:
    def __reduce__(self) -> Any:
        return exec, (TOUCH,)


class Stateful:
    def __setstate__(self, state: Any) -> None:
        Path("RAN").touch()

    def __getstate__(self) -> Any:
        return {"a": 1}


def pickles() -> dict[str, bytes]:
    made = {
        f"{module}.{name}": b"\x80\x02" + in_state_dict(call(module, name, *arguments)) + b"."
        for module, name, arguments in CALLS
    }
    for form, make in FORMS.items():
        made[f"exec by {form}"] = b"\x80\x04" + in_state_dict(make("builtins", "exec", TOUCH)) + b"."
        made[f"exec by {form} alone"] = b"\x80\x04" + make("builtins", "exec", TOUCH) + b"."
    for protocol in range(2, 6):
        made[f"__reduce__, protocol {protocol}"] = pickle.dumps({"weight": Reduced()}, protocol)
        made[f"__setstate__, protocol {protocol}"] = pickle.dumps({"weight": Stateful()}, protocol)
    made["before the state dict"] = b"\x80\x02" + call("builtins", "exec", TOUCH) + b"0" + in_state_dict(b"N") + b"."
    made["after the state dict"] = b"\x80\x02" + in_state_dict(b"N") + call("builtins", "exec", TOUCH) + b"0."
    made["as a key"] = b"\x80\x02}(" + call("builtins", "exec", TOUCH) + b"Nu."
    return made


def as_zip(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, member in {"data.pkl": content, "version": b"3\n", "byteorder": b"little", "data/0": b"1234"}.items():
            archive.writestr(f"archive/{name}", member)
    return buffer.getvalue()


def as_torchscript(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py.debug_pkl"):
            archive.writestr(f"archive/{name}", content)
        archive.writestr("archive/code/__torch__.py", f"op_version_set = 1\n{TOUCH}\n")
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def as_legacy(content: bytes) -> bytes:
    """torch's older format: magic number, protocol, system, the object, its storages, each a pickle."""
    magic = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    return b"".join(pickle.dumps(each, 2) for each in magic) + content + pickle.dumps([], 2)


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "bare": bytes,
    "zip": as_zip,
    "legacy": as_legacy,
    "TorchScript": as_torchscript,
}


installed = functools.cache(load_plugins)


def fetched(use: str, path: Path) -> Any:
    """Load as a run does that gets its weights from the source `use`."""
    plugins = installed()
    choice = choose_weights(WeightsConfig(use=use), [WeightEntry("V1", path.name)], "x:net", plugins, {})
    assert choice is not None
    cache = Cache(path.parent, path.parent / "records", offline="FT_OFFLINE=1")
    return read_tensors(fetch_weights(choice, plugins, cache=cache).path)


READERS: dict[str, Callable[[Path], Any]] = {
    "a weight file": read_tensors,
    "--weights local:FILE": lambda path: fetched(f"local:{path}", path),
    "--weights local:FOLDER": lambda path: fetched(f"local:{path.parent}", path),
    "the cache": lambda path: fetched("V1", path),
    "a checkpoint": load_checkpoint,
    "a model": load_tensors,
}


@pytest.mark.filterwarnings("ignore")  # torch warns of pickle protocols; as an error that would end the reading early
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("reader", READERS)
def test_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str, reader: str) -> None:
    monkeypatch.chdir(tmp_path)
    made = pickles()
    assert len(made) >= 30
    for number, (name, content) in enumerate(made.items()):
        path = tmp_path / str(number) / "net.pth"
        path.parent.mkdir()
        path.write_bytes(CONTAINERS[container](content))
        with pytest.raises(FtError, match=r"net\.pth"):
            READERS[reader](path)
        assert not (tmp_path / "RAN").exists(), name
        assert path.exists(), name


def test_these_pickles_are_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for form in FORMS:
        pickle.loads(pickles()[f"exec by {form}"])
        (tmp_path / "RAN").unlink()


def test_refused_code_is_named(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(as_zip(pickles()["os.system"]))
    with pytest.raises(FtError, match=r"reading it would run os\.system"):
        read_tensors(tmp_path / "net.pth")


def test_a_whole_training_object_is_refused_but_its_tensors_are_not(tmp_path: Path) -> None:
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "net.pth")
    with pytest.raises(FtError, match=r"reading it would run torch\.nn\.modules\.linear\.Linear"):
        read_tensors(tmp_path / "net.pth")
