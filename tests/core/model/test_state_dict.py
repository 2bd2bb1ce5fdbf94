from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from ft.errors import FtError
from ft.extension.records import Backbone, Stage
from ft.model.state_dict import LoadReport, WeightTensors, load_into, read_tensors


class Net(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm1 = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, classes)


def backbone(**more: Any) -> Backbone:
    return Backbone(Net(), ("fc",), (Stage("all", ("conv", "norm1")),), 4, name="tiny", **more)


def tensors(classes: int = 3) -> dict[str, Tensor]:
    torch.manual_seed(1)
    state = Net(classes).state_dict()
    return {name: torch.rand_like(t) if t.is_floating_point() else t for name, t in state.items()}


def load(given: dict[str, Tensor], into: Backbone | None = None) -> LoadReport:
    return load_into(into or backbone(), WeightTensors(given), "net.pth")


def save(path: Path, content: Any, kind: str = "zip") -> Path:
    if kind == "safetensors":
        save_file(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    return path


# Reading


@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
def test_each_format_gives_the_tensors_that_were_saved(tmp_path: Path, kind: str) -> None:
    read = read_tensors(save(tmp_path / "net", tensors(), kind))
    assert read.notes == ()
    assert list(read.tensors) == list(tensors()) or kind == "safetensors"
    torch.testing.assert_close(dict(read.tensors), tensors(), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("kind", ["zip", "pickle"])
def test_the_state_dict_of_a_training_checkpoint_is_found(tmp_path: Path, name: str, kind: str) -> None:
    read = read_tensors(save(tmp_path / "net.pth", {"epoch": 3, "optimizer": {"lr": 1}, name: tensors()}, kind))
    assert set(read.tensors) == set(tensors())
    assert read.notes == (f"the tensors were taken from '{name}' in net.pth",)


def test_values_beside_the_tensors_are_left_out_and_said(tmp_path: Path) -> None:
    read = read_tensors(save(tmp_path / "net.pth", {**tensors(), "epoch": 3}))
    assert "epoch" not in read.tensors
    assert read.notes == ("1 values in net.pth that are no tensors were left out: epoch",)


def test_parameters_come_without_their_gradient_tracking(tmp_path: Path) -> None:
    read = read_tensors(save(tmp_path / "net.pth", {"w": nn.Parameter(torch.ones(2))}))
    assert not read.tensors["w"].requires_grad


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([torch.ones(2)], "holds a list, not named tensors"),
        (torch.ones(2), "holds a Tensor, not named tensors"),
        ({"lr": 0.1, "epoch": 2}, "holds no named tensors; at its top level are: lr, epoch"),
        ({}, "at its top level are: nothing"),
    ],
)
def test_files_without_named_tensors_are_refused(tmp_path: Path, content: Any, reason: str) -> None:
    with pytest.raises(FtError, match=reason):
        read_tensors(save(tmp_path / "net.pth", content))


@pytest.mark.parametrize("kind", ["zip", "pickle"])
def test_a_file_that_would_run_code_is_refused_without_running_it(tmp_path: Path, kind: str) -> None:
    marker = tmp_path / "it ran"

    class Attack:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(marker),)

    path = save(tmp_path / "net.pth", {"w": torch.ones(2), "x": Attack()}, kind)
    with pytest.raises(FtError, match=r"net.pth holds more than tensors: reading it would run \w+.mkdir.*runs nothing"):
        read_tensors(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Attack()))
    assert marker.exists(), "the attack must work where it is not refused"


def test_a_bare_pickle_that_would_run_code_is_refused_without_running_it(tmp_path: Path) -> None:
    marker = tmp_path / "it ran"

    class Attack:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(marker),)

    (tmp_path / "net.pth").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(FtError, match=r"mkdir|cannot be read"):
        read_tensors(tmp_path / "net.pth")
    assert not marker.exists()


def test_a_whole_pickled_network_is_refused_with_what_to_save_instead(tmp_path: Path) -> None:
    with pytest.raises(FtError, match=r"run torch.nn.modules.linear.Linear.*torch.save\(model.state_dict\(\)"):
        read_tensors(save(tmp_path / "net.pth", nn.Linear(2, 2)))


@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
def test_files_that_lost_their_end_are_refused(tmp_path: Path, kind: str) -> None:
    path = save(tmp_path / "net", tensors(), kind)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FtError, match=str(path)):
        read_tensors(path)


def test_a_zip_of_other_things_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:
        archive.writestr("cat.jpg", b"...")
    with pytest.raises(FtError, match="cannot be read as weights"):
        read_tensors(tmp_path / "net.pth")


@settings(max_examples=80)
@given(
    kind=st.sampled_from(["zip", "pickle", "safetensors"]),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_a_flipped_bit_is_an_error_of_the_file_or_not_seen_but_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, kind: str, place: float, bit: int
) -> None:
    path = save(tmp_path_factory.mktemp("flip") / "net", tensors(), kind)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        read = read_tensors(path)
    except FtError:
        return
    assert len(read.tensors) > 0


# Several sets of tensors in one file


def several(path: Path, **sets: Any) -> Path:
    return save(path, {"epoch": 3, "optimizer": {"state": {"conv.weight": {"exp_avg": torch.ones(2)}}}, **sets})


def of(value: float) -> dict[str, Tensor]:
    return {name: torch.full_like(t, value) for name, t in Net().state_dict().items()}


@pytest.mark.parametrize("average", ["model_ema", "ema", "state_dict_ema", "ema_state_dict", "swa_model", "params_ema"])
@pytest.mark.parametrize("name", ["ckpt", "tar"])
def test_a_checkpoint_with_an_average_says_that_there_are_two(tmp_path: Path, average: str, name: str) -> None:
    path = several(tmp_path / f"net.{name}", **{average: of(2), "state_dict": of(1)})
    read = read_tensors(path)
    assert read.tensors["conv.weight"].mean() == 1
    assert read.notes == (
        f"the tensors were taken from 'state_dict' in net.{name}",
        f"net.{name} holds 2 sets of tensors, state_dict (9 tensors), {average} (9 tensors); "
        f"--set weights.key={average} takes the other",
    )
    read = read_tensors(path, average)
    assert read.tensors["conv.weight"].mean() == 2
    assert read.notes == (f"the tensors were taken from '{average}' in net.{name}",)


def test_a_set_may_lie_deeper_and_be_named_in_full_or_not(tmp_path: Path) -> None:
    path = several(tmp_path / "net.pth", ema={"module": of(2), "updates": 7}, model={"state_dict": of(1)})
    assert read_tensors(path).tensors["conv.weight"].mean() == 1
    for key in ("ema", "ema.module"):
        assert read_tensors(path, key).tensors["conv.weight"].mean() == 2


def test_an_average_alone_is_taken_and_said(tmp_path: Path) -> None:
    read = read_tensors(several(tmp_path / "net.pth", ema=of(2)))
    assert read.tensors["conv.weight"].mean() == 2
    assert read.notes[0] == "the tensors were taken from 'ema' in net.pth"


def test_two_networks_that_nothing_tells_apart_are_asked_about(tmp_path: Path) -> None:
    path = several(tmp_path / "net.pth", student=of(1), teacher=of(2))
    with pytest.raises(FtError) as error:
        read_tensors(path)
    assert str(error.value) == (
        "net.pth holds 2 sets of tensors, student (9 tensors), teacher (9 tensors); say which, as in "
        "--set weights.key=student"
    )
    assert read_tensors(path, "teacher").tensors["conv.weight"].mean() == 2


def test_small_tensors_beside_a_network_are_no_second_one(tmp_path: Path) -> None:
    read = read_tensors(several(tmp_path / "net.pth", net=of(1), loss={"weight": torch.ones(3)}))
    assert read.notes == ("the tensors were taken from 'net' in net.pth",)


def test_a_key_that_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(FtError, match=r"It has: net \(9 tensors\), loss \(1 tensor\)"):
        read_tensors(several(tmp_path / "one.pth", net=of(1), loss={"weight": torch.ones(3)}), "ema")
    with pytest.raises(FtError, match=r"no tensors at weights\.key 'ema'\..* It has: model \(9 tens.*model_ema \(9"):
        read_tensors(several(tmp_path / "net.pth", model=of(1), model_ema=of(2)), "ema")
    with pytest.raises(FtError, match=r"its tensors lie at the top level; leave weights\.key out"):
        read_tensors(save(tmp_path / "flat.pth", of(1)), "ema")
    with pytest.raises(FtError, match=r"safetensors file, which holds one set of tensors; leave out weights\.key"):
        read_tensors(save(tmp_path / "net.safetensors", of(1), "safetensors"), "ema")


@pytest.mark.parametrize("content", [b"\x80\x02}q\x00.", b"\x80\x04N."])
def test_torchs_advice_to_switch_its_safety_off_is_never_passed_on(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(FtError) as error:
        read_tensors(tmp_path / "net.pth")
    assert "weights_only" not in str(error.value)
    assert "torch.load" not in str(error.value)


# Loading


def body(into: Backbone) -> dict[str, Tensor]:
    return {name: t for name, t in into.module.state_dict().items() if not into.in_head(name)}


def test_all_tensors_are_loaded_and_counted() -> None:
    into, given = backbone(), tensors()
    given["norm1.num_batches_tracked"] = torch.tensor(7)
    report = load(given, into)
    torch.testing.assert_close(dict(into.module.state_dict()), given, rtol=0, atol=0)
    assert report == LoadReport(tensors=9, values=108 + 4 + 4 * 4 + 1 + 12 + 3, notes=())


@pytest.mark.parametrize("classes", [3, 5, None])
def test_a_head_of_any_shape_or_none_does_not_matter(classes: int | None) -> None:
    into, given = backbone(), tensors(classes or 3)
    if classes is None:
        given = {name: t for name, t in given.items() if not name.startswith("fc")}
    else:
        given["fc.extra"] = torch.ones(1)
    before = into.module.fc.weight.clone()
    notes = load(given, into).notes
    torch.testing.assert_close(body(into)["conv.weight"], given["conv.weight"])
    if classes == 3:
        assert notes[0] == "the head in the file does not fit and was not loaded: fc.extra"
        torch.testing.assert_close(into.module.fc.weight.data, given["fc.weight"])
    else:
        assert "fc.weight, fc.bias" in notes[0]
        torch.testing.assert_close(into.module.fc.weight, before)


def test_a_missing_batch_counter_is_fine() -> None:
    given = tensors()
    del given["norm1.num_batches_tracked"]
    assert load(given).notes == ()


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.module.", "state.backbone."])
def test_a_prefix_on_all_names_is_taken_off_and_said(prefix: str) -> None:
    into, given = backbone(), tensors()
    notes = load({prefix + name: t for name, t in given.items()}, into).notes
    assert f"the prefix '{prefix}' was taken off all tensor names" in notes
    torch.testing.assert_close(body(into)["conv.weight"], given["conv.weight"])


def test_names_that_end_alike_are_no_prefix() -> None:
    given = tensors()
    with pytest.raises(FtError, match=r"\n  unknown 1: other.conv.weight 4x3x3x3\n"):
        load({"other.conv.weight": given["conv.weight"], **given})


def test_a_misfit_names_what_is_missing_unknown_and_of_another_shape_and_changes_nothing() -> None:
    into, given = backbone(), tensors()
    before = {name: t.clone() for name, t in into.module.state_dict().items()}
    del given["norm1.bias"]
    given["norm1.weight"] = torch.ones(8)
    given |= {f"layer.{i}": torch.ones(2, i) for i in range(7)}
    with pytest.raises(FtError) as raised:
        load(given, into)
    assert str(raised.value).splitlines() == [
        "the weights in net.pth do not fit tiny: 5 of its 7 tensors are there",
        "  missing 1: norm1.bias 4",
        "  unknown 7: layer.0 2x0, layer.1 2x1, layer.2 2x2, layer.3 2x3, layer.4 2x4, ...",
        "  of another shape 1: norm1.weight 8, not 4",
        "Names in the file begin with conv, norm1, layer; those of tiny with conv, norm1.",
        "Choose the --backbone that these weights were made for, or other --weights",
    ]
    torch.testing.assert_close(dict(into.module.state_dict()), before, rtol=0, atol=0)


def test_tensors_that_the_backbone_does_without_may_be_there() -> None:
    given = {**tensors(), "aux.weight": torch.ones(2), "auxiliary": torch.ones(2)}
    with pytest.raises(FtError, match=r"unknown 1: auxiliary 2"):
        load(given, backbone(unused_weights=("aux",)))
    del given["auxiliary"]
    notes = load(given, backbone(unused_weights=("aux",))).notes
    assert notes == ("1 tensor left out that the backbone does without: aux.weight",)


def test_older_names_are_turned_into_the_modules_own() -> None:
    given = {name.replace("norm1", "norm.1"): t for name, t in tensors().items()}
    with pytest.raises(FtError, match=r"norm\.1"):
        load(given)
    into = backbone(rename_weights=lambda name: name.replace("norm.1", "norm1"))
    load({"module." + name: t for name, t in given.items()}, into)
    torch.testing.assert_close(body(into)["norm1.running_var"], given["norm.1.running_var"])


def test_one_tensor_under_two_names_is_refused() -> None:
    given = {**tensors(), "norm.1.weight": torch.ones(4)}
    with pytest.raises(FtError, match=r"net.pth holds 'norm1.weight' twice"):
        load(given, backbone(rename_weights=lambda name: name.replace("norm.1", "norm1")))


def test_another_precision_is_converted_and_said() -> None:
    into, given = backbone(), tensors()
    given["conv.weight"] = given["conv.weight"].half()
    del given["norm1.num_batches_tracked"]
    assert load(given, into).notes == ("1 tensor was converted from float16",)
    assert body(into)["conv.weight"].dtype == torch.float32


def test_notes_of_reading_come_first_in_the_report() -> None:
    given = {f"module.{name}": t for name, t in tensors().items()}
    report = load_into(backbone(), WeightTensors(given, ("read so",)), "net.pth")
    assert report.notes[0] == "read so"
    assert len(report.notes) > 1


def test_the_counter_of_an_averaged_network_is_left_alone(tmp_path: Path) -> None:
    from torch.optim.swa_utils import AveragedModel

    into, averaged = backbone(), AveragedModel(Net())
    averaged.update_parameters(Net())
    notes = load_into(into, read_tensors(save(tmp_path / "net.pth", averaged.state_dict())), "net.pth").notes
    assert notes == (
        "the prefix 'module.' was taken off all tensor names",
        "counters of an averaged network were left out: n_averaged",
    )
    torch.testing.assert_close(into.module.conv.weight, averaged.module.conv.weight)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2])
def test_tensors_that_are_not_finite_are_named(value: float, dtype: torch.dtype) -> None:
    into, given = backbone(), tensors()
    before = into.module.conv.weight.clone()
    for name in ("conv.weight", "norm1.running_var"):
        given[name].view(-1)[1] = value
        given[name] = given[name].to(dtype)
    with pytest.raises(FtError) as error:
        load(given, into)
    assert str(error.value) == (
        "2 of 9 tensors in net.pth hold NaN or infinity: conv.weight (1 of 108 values), norm1.running_var (1 of 4 "
        "values). The network that was saved had diverged, or the file is damaged; take an earlier checkpoint"
    )
    assert torch.equal(into.module.conv.weight, before)


def test_a_head_that_is_not_loaded_may_hold_anything() -> None:
    given = tensors(5)
    given["fc.bias"][0] = float("nan")
    assert load(given).tensors == 7
