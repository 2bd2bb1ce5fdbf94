from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ft.errors import FtError
from ft.weights.format import format_of


def write(path: Path, kind: str) -> Path:
    tensors = {"a": torch.arange(6.0), "b": torch.zeros(2, 3)}
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "zip")
    return path


@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
def test_weight_files_are_known_by_their_content(tmp_path: Path, kind: str) -> None:
    assert format_of(write(tmp_path / "any.name", kind)) == kind


@pytest.mark.parametrize("kind", ["zip", "safetensors"])
@pytest.mark.parametrize("lost", [1, 20])
def test_files_that_lost_their_end_are_refused(tmp_path: Path, kind: str, lost: int) -> None:
    path = write(tmp_path / "file", kind)
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(FtError, match=r"incomplete|no whole"):
        format_of(path)


@pytest.mark.parametrize("kind", ["zip", "safetensors"])
def test_a_damaged_byte_is_refused_or_not_seen_but_never_a_crash(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "file", kind)
    content = bytearray(path.read_bytes())
    outcomes = set()
    for place in range(len(content)):
        content[place] ^= 0x80
        path.write_bytes(content)
        content[place] ^= 0x80
        try:
            outcomes.add(str(format_of(path)))
        except FtError:
            outcomes.add("refused")
    assert outcomes == {kind, "refused"}


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b"", "it is empty"),
        (b"\n <!DOCTYPE html><html>log in</html>", "it is a web page"),
        (b"<HTML>log in</HTML>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "it is a pointer of Git LFS; get the file itself"),
        (b"\xff" * 8 + b"{" + b" " * 40, "no whole safetensors file"),
    ],
)
def test_other_files_are_refused_with_what_they_are(tmp_path: Path, content: bytes, looks: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(FtError, match=looks):
        format_of(tmp_path / "file")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FtError, match="cannot read"):
        format_of(tmp_path / "file")


@pytest.mark.parametrize(
    ("start", "looks"),
    [
        (b"\x1f\x8b\x08", "compressed (gzip); unpack it first"),
        (b"\xfd7zXZ\x00", "compressed (xz)"),
        (b"\x89HDF\r\n", "an HDF5 file, as Keras writes"),
        (b"\x93NUMPY\x01", "a NumPy array"),
    ],
)
def test_files_that_one_may_take_for_weights_are_named(tmp_path: Path, start: bytes, looks: str) -> None:
    (tmp_path / "net.pth").write_bytes(start + b"\0" * 100)
    with pytest.raises(FtError) as error:
        format_of(tmp_path / "net.pth")
    assert looks in str(error.value)


@pytest.mark.parametrize(
    ("inside", "kind"),
    [
        (["data.pkl", "code/__torch__/net.py", "constants.pkl"], "a TorchScript archive"),
        (["models/model.json", "data/weights/weight_0", "archive_format"], "an archive of torch.export"),
    ],
)
def test_a_program_is_named_without_advice_to_run_it(tmp_path: Path, inside: list[str], kind: str) -> None:
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        for name in inside:
            archive.writestr(f"net/{name}", b"")
    with pytest.raises(FtError) as error:
        format_of(tmp_path / "net.pt")
    assert str(error.value) == (
        f"{tmp_path / 'net.pt'} is {kind}, which holds code; ft reads tensors alone. Where it was made: "
        "torch.save(model.state_dict(), 'new.pth')"
    )
