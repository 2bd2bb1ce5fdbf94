from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, strategies as st

from ft import FtError
from ft.config.files import read_tree
from ft.config.loading import load_config
from ft.config.schema import ComponentConfig, Config, field_at
from ft.extension.kinds import KINDS
from ft.text.documents import as_yaml

BACKBONE = "backbone=torchvision:resnet18"


def write(folder: Path, text: str) -> Path:
    path = folder / "ft.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def mistake(*sets: str) -> str:
    with pytest.raises(FtError) as error:
        load_config(sets=sets)
    return str(error.value)


def test_flags_win_over_set_over_the_file_over_defaults(tmp_path: Path) -> None:
    file = write(tmp_path, "backbone: a:file\nseed: 1\ntraining: {epochs: 1, batch_size: 1, patience: 1}\n")
    config = load_config(file, ["training.batch_size=2", "training.patience=2"], {"training.patience": 3})
    assert config.backbone.use == "a:file"
    assert (config.seed, config.training.epochs, config.training.batch_size, config.training.patience) == (1, 1, 2, 3)
    assert config.head.use == "linear"


def test_a_config_is_the_same_after_being_written_and_read(tmp_path: Path) -> None:
    config = load_config(
        sets=[BACKBONE, "head={use: mlp, hidden: [8]}", "freeze=[all, 'regex:a.*']", "groups=[{match: all, lr: 1e-4}]"]
    )
    file = write(tmp_path, as_yaml(config.model_dump(mode="json")))
    assert load_config(file) == config


@given(st.text(st.characters(codec="utf-8"), max_size=40) | st.from_regex(r"[0-9a-f]{8}", fullmatch=True))
@example("45e9ab01")  # begins like a number
@example("1234e567")
@example("2e5_photos")
@example("1e5")
@example("2026-01-31")
@example("yes")
def test_text_is_the_same_text_after_being_written_and_read(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert read_tree(write(Path(folder), as_yaml({"data": text}))) == {"data": text}


@pytest.mark.parametrize(
    ("text", "value"), [("1e-4", 1e-4), ("45e9ab01", "45e9ab01"), ("1e5x", "1e5x"), (".5e3", 500.0)]
)
def test_only_what_is_a_number_to_its_end_is_read_as_one(text: str, value: object, tmp_path: Path) -> None:
    assert read_tree(write(tmp_path, f"a: {text}\n")) == {"a": value}


def test_a_component_is_text_or_a_mapping_with_settings() -> None:
    assert ComponentConfig.model_validate("mlp").settings == {}
    config = load_config(sets=[BACKBONE, "head={use: mlp, hidden: [256]}"])
    assert (config.head.use, config.head.settings) == ("mlp", {"hidden": [256]})
    assert config.head.model_dump() == {"use": "mlp", "hidden": [256]}
    assert config.backbone.model_dump() == "torchvision:resnet18"


@pytest.mark.parametrize("value", ["3", "[a]", ""])
def test_a_component_that_is_neither_says_what_to_write(value: str) -> None:
    way_out = "write a reference, as in torchvision:resnet18, or a mapping, {use: torchvision:resnet18, ...}"
    assert way_out in mistake(f"backbone={value}")


def test_a_setting_is_added_to_a_component_given_as_text() -> None:
    head = load_config(sets=[BACKBONE, "head=mlp", "head.dropout=0.1"]).head
    assert (head.use, head.settings) == ("mlp", {"dropout": 0.1})


def test_one_rule_needs_no_list() -> None:
    assert load_config(sets=[BACKBONE, "freeze=all"]).freeze == (ComponentConfig(use="all"),)


def test_adding_to_the_tree_leaves_the_flags_given_alone() -> None:
    given_head = {"use": "mlp"}
    load_config(sets=[BACKBONE], flags={"head": given_head, "head.dropout": 0.1})
    assert given_head == {"use": "mlp"}


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "1.0e-3", ".1e-2", "0.001"])
def test_learning_rates_are_numbers_however_they_are_written(number: str) -> None:
    assert load_config(sets=[BACKBONE, f"training.lr={number}"]).training.lr == 0.001


@pytest.mark.parametrize("promise", ["off", "auto"])
def test_off_is_a_word_in_a_config_too(promise: str, tmp_path: Path) -> None:
    file = write(tmp_path, f"backbone: torchvision:vgg16\ncache: {{promise: {promise}}}\n")
    assert load_config(file).cache.promise == promise
    assert load_config(sets=[BACKBONE, f"cache.promise={promise}"]).cache.promise == promise


@pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False)])
def test_true_and_false_are_not_words(text: str, value: bool) -> None:
    assert load_config(sets=[BACKBONE, f"training.auto_batch={text}"]).training.auto_batch is value
    assert load_config(sets=[BACKBONE, f"run_dir={text}s"]).run_dir == Path(f"{text}s")


def test_a_param_group_that_changes_nothing_is_told() -> None:
    assert "give it an lr or a weight_decay" in mistake(BACKBONE, "groups=[{match: 'regex:layer4.*'}]")


def test_a_tag_that_does_not_fit_is_told() -> None:
    assert "not valid YAML" in mistake(BACKBONE, "data=!!map [1]")


def test_what_looks_like_a_date_is_text() -> None:
    assert load_config(sets=[BACKBONE, "run_dir=2026-01-31"]).run_dir == Path("2026-01-31")


def test_a_mistyped_key_is_told_with_the_nearest() -> None:
    assert mistake(BACKBONE, "training.epoch=3").startswith(
        "unknown setting 'training.epoch'. Did you mean 'epochs'? It takes: auto_batch,"
    )
    assert mistake(BACKBONE, "groups=[{match: all, lrr: 1}]") == (
        "unknown setting 'groups.0.lrr'. Did you mean 'lr'? It takes: lr, match, weight_decay"
    )


def test_a_missing_backbone_is_told_with_the_way_out() -> None:
    assert mistake() == "setting 'backbone' is missing; give it with --set backbone=..."


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.epochs", "0"),
        ("split.val", "1"),
        ("seed", "-1"),
        ("machine.precision", "fp8"),
        ("machine.workers", "-1"),
        ("images.size", "4"),
        ("cache.disk_gb", ".inf"),
        ("training.warmup_epochs", ".inf"),
        ("training.lr", ".inf"),
        ("training.weight_decay", ".inf"),
        ("cache.memory_gb", ".inf"),
    ],
)
def test_values_out_of_range_are_told(key: str, value: str) -> None:
    assert mistake(BACKBONE, f"{key}={value}").startswith(f"setting '{key}' cannot be ")


@pytest.mark.parametrize("text", ["training.epochs", "=3"])
def test_set_without_key_or_value_is_told(text: str) -> None:
    assert mistake(text) == f"--set {text}: write --set key=value, as in --set training.epochs=5"


def test_a_key_given_twice_is_no_silent_choice(tmp_path: Path) -> None:
    file = write(tmp_path, "backbone: a:b\ntraining:\n  lr: 0.1\n  lr: 0.2\n")
    with pytest.raises(FtError, match=r"ft\.yaml: not valid YAML: 'lr' is given twice .*line 3"):
        load_config(file)


def test_a_merged_mapping_may_be_overridden(tmp_path: Path) -> None:
    file = write(tmp_path, "backbone: a:b\ntraining:\n  <<: {epochs: 3, patience: 4}\n  epochs: 5\n")
    training = load_config(file).training
    assert (training.epochs, training.patience) == (5, 4)


@pytest.mark.parametrize(
    ("typed", "way_out"),
    [
        ("images.range=[5]", "images.range' cannot be [5]: it takes a list of 2 numbers or auto, as in [0, 4095]"),
        ("images.range=[a, b]", "images.range' cannot be ['a', 'b']: it takes a list of 2 numbers or auto, as in"),
        ("images.range=x", "images.range' cannot be 'x': it takes a list of 2 numbers or auto, as in [0, 4095]"),
        ("machine.workers=x", "machine.workers' cannot be 'x': it takes a whole number or auto"),
        ("freeze=3", "freeze' cannot be 3: write a reference, as in all, or a mapping, {use: all, ...}"),
        ("freeze=[3]", "freeze.0' cannot be 3: write a reference, as in all, or a mapping"),
        ("data=[a, b]", "data' cannot be ['a', 'b']: write a reference, as in ./photos, or a mapping"),
        ("trackers=3", "trackers' cannot be 3: write a reference, as in csv, or a mapping"),
        ("weights.sources=3", "weights.sources' cannot be 3: write a reference, as in local:./weights"),
        ("weights.sources=[3]", "weights.sources.0' cannot be 3: it takes text, as in local:./weights"),
        ("training.penalties=[a]", "training.penalties.0' cannot be 'a': it takes a number"),
        ("training.penalties=[]", "training.penalties' cannot be []: it may not be empty"),
        ("groups=[3]", "groups.0' cannot be 3: it takes a mapping of match, lr, weight_decay"),
        ("split=3", "split' cannot be 3: it takes a mapping of val, test, seed"),
        ("prefer={a: 3}", "prefer.a' cannot be 3: it takes text"),
        ("weights.sources=['']", "weights.sources.0' cannot be '': it may not be empty"),
        ("from_run.head=keep", "from_run.run' is missing; give it with --set from_run.run="),
        ("training.warmup_epochs=1e308", "training.warmup_epochs' cannot be 1e+308: input should be less than"),
        (
            "training.mixup=1e-320",
            "training.mixup' cannot be 1e-320: it is 0, for none, or a number from 0.001 to 1000",
        ),
        ("phases=[{cutmix: 1e308}]", "phases.0.cutmix' cannot be 1e+308: it is 0, for none, or a number from 0.001"),
        ("lora.rank=99999999999999999999", "lora.rank' cannot be 99999999999999999999: input should be less than"),
        ("seed=null", "seed' cannot be None: it takes a whole number"),
    ],
)
def test_an_unfit_value_is_one_line_with_what_the_key_takes(typed: str, way_out: str) -> None:
    said = mistake("backbone=a:b", typed)
    assert said.startswith(f"setting '{way_out}")
    assert "\n" not in said


def test_every_component_of_the_config_has_an_example_for_messages() -> None:
    for key in (key for kind in KINDS.values() for key in kind.keys):
        field = field_at(key.path)
        assert field.examples, key.path


@pytest.mark.parametrize("text", ["- a\n", "just text\n"])
def test_a_file_that_is_no_mapping_is_told_with_a_beginning(tmp_path: Path, text: str) -> None:
    for nothing in ("", "# nothing but this\n"):
        (tmp_path / "empty.yaml").write_text(nothing)
        with pytest.raises(FtError, match=r"empty\.yaml is empty; it begins like 'backbone: "):
            load_config(tmp_path / "empty.yaml")
    with pytest.raises(FtError, match=r"ft\.yaml is no mapping; it begins like 'backbone: torchvision:resnet18'"):
        read_tree(write(tmp_path, text))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(FtError, match=r"cannot read the config .*absent\.yaml"):
        load_config(tmp_path / "absent.yaml")
    binary = tmp_path / "weights.pth"
    binary.write_bytes(b"\xff\xfe\x80")
    with pytest.raises(FtError, match=r"cannot read the config .*weights\.pth"):
        load_config(binary)


def test_yaml_cannot_make_objects(tmp_path: Path) -> None:
    with pytest.raises(FtError, match="not valid YAML"):
        load_config(write(tmp_path, "backbone: !!python/object/apply:os.getcwd []\n"))


@given(st.text(max_size=40))
def test_any_value_is_a_config_or_an_ft_error(value: str) -> None:
    for key in ("seed", "freeze", "head"):
        with suppress(FtError):
            assert isinstance(load_config(sets=[BACKBONE, f"{key}={value}"]), Config)
