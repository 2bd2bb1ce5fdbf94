"""What people type and what they get, without a subprocess; the installed command is tried in test_command.py."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import Result
from rich.console import Console

from conftest import TINY
from ft.cli.tables import print_model
from ft.machine.display import Display

Ft = Callable[..., Result]
QUICK = (
    *("--backbone", f"{TINY}:small", "--weights", "none", "--image-size", "16", "--epochs", "1", "--workers", "0"),
    *("--precision", "fp32", "--device", "cpu"),
    *("--set", "data={use: demo, images_per_class: 6, size: 32}"),
)


def test_help_lists_every_command_with_its_first_line(ft: Ft) -> None:
    from ft.cli import COMMANDS, cli

    text = ft("--help").output
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in text
        assert line in text
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        assert command.name == name
        assert ft(name, "--help").output


@pytest.mark.parametrize("group", [(), ("data",), ("cache",), ("weights",), ("recipes",)])
def test_a_group_alone_prints_its_help(ft: Ft, group: tuple[str, ...]) -> None:
    alone = ft(*group)
    assert (alone.stdout, alone.stderr) == (ft(*group, "--help").stdout, "")
    assert alone.stdout.count("Usage:") == 1


def commands(group: click.Group, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, by what is typed for it."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield (*names, name), command


def test_every_command_that_tells_something_tells_it_in_json(ft: Ft) -> None:
    from ft.cli import cli

    silent = {words for words, command in commands(cli) if not any(p.name == "as_json" for p in command.params)}
    acting = [("run",), ("report",), ("serve",), ("plugins", "new"), ("recipes", "copy"), ("cache", "prune")]
    assert silent == {*acting, *(("weights", name) for name in ("fetch", "bundle", "prune"))}
    assert len(json.loads(ft("models", "--json").output)) > 80
    assert json.loads(ft("plugins", "why", "freeze:regex", "--json").output)[0].startswith("freezing strategy regex:")
    assert json.loads(ft("cache", "verify", "--json").output)["damaged"] == []


def test_the_json_of_a_group_is_that_of_its_command(ft: Ft) -> None:
    assert ft("models", "--json", "vgg1").output == ft("models", "list", "vgg1", "--json").output
    assert json.loads(ft("plugins", "--json", "list").output)
    refused = ft("plugins", "--json", "new", "freeze", "mine", fails=True)
    assert refused.exit_code == 2
    assert "ft plugins new prints no JSON" in refused.output.replace("cli", "ft")


def test_a_run_can_be_planned_made_used_and_measured(ft: Ft, tmp_path: Path) -> None:
    assert "always trains" in ft("plan", *QUICK, "--freeze", "all").output
    result = ft("run", *QUICK, "--freeze", "all", "--run-dir", "r")
    assert "epoch 1/1" in result.output
    assert "the others proved unchanged" in result.output
    assert "next        see mistakes, curves and what trained: r/report.html" in result.output
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    evaluated = json.loads(ft("evaluate", "r", "demo", "--json", "--trust-code").output)
    assert evaluated["images"] > 0
    assert report["classes"] == ["circle", "cross", "square", "triangle"]


def test_predict_tells_classes_with_their_probabilities(ft: Ft, tmp_path: Path) -> None:
    from PIL import Image

    ft("run", *QUICK, "--freeze", "all", "--run-dir", "r")
    Image.new("RGB", (20, 30), "red").save(tmp_path / "a.png")
    table = ft("predict", "r", "a.png", "--trust-code").output
    assert "a.png" in table
    assert "%" in table
    found = json.loads(ft("predict", "r", "a.png", "--json", "--top", "4", "--trust-code").output)
    assert sum(found[0]["probabilities"]) == pytest.approx(1)


def test_the_json_plan_reproduces_the_run(ft: Ft, tmp_path: Path) -> None:
    printed = ft("plan", *QUICK, "--freeze", "all", "--lr", "0.02", "--json").output
    (tmp_path / "plan.json").write_text(printed)
    again = ft("plan", "--config", "plan.json", "--json").output
    assert json.loads(printed) == json.loads(again)


def test_flags_win_over_set_which_wins_over_the_file(ft: Ft, tmp_path: Path) -> None:
    (tmp_path / "ft.yaml").write_text(yaml.safe_dump({"training": {"epochs": 5, "batch_size": 4, "lr": 0.5}}))
    args = ("--config", "ft.yaml", "--set", "training.batch_size=6", "--set", "training.epochs=7")
    config = json.loads(ft("plan", *QUICK, *args, "--epochs", "9", "--json").output)["config"]["training"]
    assert (config["epochs"], config["batch_size"], config["lr"]) == (9, 6, 0.5)


def test_resume_takes_no_other_flags(ft: Ft) -> None:
    ft("run", *QUICK, "--run-dir", "r")
    before = {path: path.read_bytes() for path in Path("r").iterdir()}
    args = ("--epochs", "3", "--freeze", "all", "--seed", "1", "--data", "demo", "--set", "seed=2")
    result = ft("run", "--resume", "r", "--trust-code", *args, fails=True)
    assert "leave out --seed, --set. Beside it there may be --freeze, --train, " in str(result.exception)
    assert before == {path: path.read_bytes() for path in Path("r").iterdir()}


def test_resume_with_another_freeze_keeps_the_rest_of_the_config(ft: Ft) -> None:
    def config() -> Any:
        return yaml.safe_load(Path("r/config.yaml").read_text())

    ft("run", *QUICK, "--freeze", "all", "--train", "regex:layer2.*", "--run-dir", "r")
    before = config()
    go_on = ("run", "--resume", "r", "--trust-code")
    result = ft(*go_on, "--freeze", "all", "--epochs", "2", "--lr", "0.002", "--weight-decay", "0.1", "--cache", "off")
    assert "the freeze changed after epoch 1: 0 tensors (0 parameters) train now that were frozen" in result.output
    assert "run folder r\n" in result.output  # as it was typed
    assert "ft predict r IMAGES" in result.output
    assert "2 tensors (440 parameters) are frozen now; optimizer state restored for 2 tensors, fresh" in result.output
    training = {**before["training"], "epochs": 2, "lr": 0.002, "head_lr": 0.002, "weight_decay": 0.1}
    training["derived"] = ["head_lr"]
    assert config() == {**before, "train": [], "training": training, "cache": {**before["cache"], "promise": "off"}}
    ft(*go_on, "--train", "regex:layer1.*", "--head-lr", "0.5", "--epochs", "3")
    assert (config()["freeze"], config()["train"]) == (["all"], ["regex:layer1.*"])
    assert (config()["training"]["lr"], config()["training"]["head_lr"]) == (0.002, 0.5)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("run",), "which backbone"),
        (("plan", "--backbone", "resnet18"), "torchvision:resnet18"),
        (("plan", "--backbone", "torchvision:resnt18"), "Did you mean 'resnet18'"),
        (("plan", "--backbone", "torchvision"), "names no model"),
        (("plan", *QUICK, "--freeze", "regx:a"), "Did you mean 'regex'"),
        (
            ("plan", *QUICK, "--freeze", "regex:^layr1"),
            "pattern '^layr1' matches no parameter of small; names look like",
        ),
        (("plan", *QUICK, "--set", "training.lrr=0.1"), "unknown setting 'training.lrr'. Did you mean 'lr'"),
        (("plan", *QUICK, "--set", "lr"), "--set key=value"),
        (("plan", *QUICK, "--lr", "-1"), "setting 'training.lr' cannot be -1.0"),
        (("plan", *QUICK, "--config", "nope.yaml"), "cannot read the config nope.yaml"),
        (("plan", *QUICK, "--data", "./nope"), "no folder or file"),
        (("plan", *QUICK, "--head", "lineer"), "Did you mean 'linear'"),
        (("plan", *QUICK, "--weights", "nonne"), "nonne"),
        (("predict", "nope", "x.png"), "there is no image x.png"),
        (("evaluate", "nope", "demo"), "there is no folder nope"),
        (("evaluate", ".", "demo"), "holds no model.json"),
        (("run", "--resume", "nope"), "there is no folder "),
        (("run", "--resume", "."), "is no run"),
        (("describe", "freeze"), "write KIND:NAME"),
        (("describe", "depht"), "Did you mean 'freeze:depth'"),
        (("describe", "freeze:regx"), "Did you mean 'regex'"),
        (("models", "resnt"), "near: resnet"),
        (("models", "show", "torchvision:resnt18"), "Did you mean 'resnet18'"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, tuple) else None,
)
def test_a_mistake_is_one_message_that_says_what_to_type_next(ft: Ft, args: tuple[str, ...], message: str) -> None:
    result = ft(*args, fails=True)
    assert message in str(result.exception)


def test_a_weight_file_that_is_not_there_is_said_by_the_plan_and_ends_the_run(ft: Ft, tmp_path: Path) -> None:
    flags = (*(each for each in QUICK if each not in ("--weights", "none")), "--weights", "local:small.pth")
    said = "the weights local:small.pth are not on this machine: ft run needs them"
    assert said in " ".join(ft("plan", *flags).output.split())
    (tmp_path / "smal.pth").touch()
    failed = str(ft("run", *flags, fails=True).exception)
    assert f"there is no file or folder {tmp_path}/small.pth. Did you mean 'smal.pth'? Weight files there" in failed
    assert "mirror" not in failed
    (tmp_path / "smal.pth").rename(tmp_path / "small.pth")
    assert said not in " ".join(ft("plan", *flags).output.split())


def test_models_are_listed_by_pattern(ft: Ft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_NO_THIRD_PARTY", "1")
    assert len(named(ft("models", "torchvision:").stdout)) == 80
    assert named(ft("models", "torchvision:vgg1?").stdout) == [f"torchvision:vgg1{n}" for n in (9, 6, 3, 1)]
    resnet18 = {"name": "torchvision:resnet18", "parameters": 11_689_512, "flops": 1_814_000_000, "accuracy": 69.758}
    assert any(resnet18.items() <= each.items() for each in json.loads(ft("models", "resnet", "--json").stdout))


def named(listed: str) -> list[str]:
    """The backbones of a table, in its order."""
    return [line.split()[0] for line in listed.splitlines() if ":" in line]


def test_a_model_is_listed_with_what_is_known_of_it(ft: Ft) -> None:
    (line,) = (line for line in ft("models", "torchvision:mobilenet_v3_s*").stdout.splitlines() if "v3_small" in line)
    assert line.split() == ["torchvision:mobilenet_v3_small", "2.5", "M", "0.06", "67.7", "10.3", "MB", "-"]
    assert all(len(line) <= 80 for line in ft("models").stdout.splitlines()[:7])


def test_without_a_pattern_models_to_begin_with_come_first_each_with_its_reason_and_others_are_counted(ft: Ft) -> None:
    text = ft("models").stdout
    begin, _, rest = text.partition("to begin with")
    recommended = [each for each in json.loads(ft("models", "--json").stdout) if each["recommended"]]
    assert named(begin) == [each["name"] for each in recommended]
    assert 0 < len(recommended) < 10
    assert all(each["recommended"] in rest for each in recommended)
    assert re.search(r"torchvision +80 +torchvision's", rest)
    assert len(text.splitlines()) < 30


def test_models_are_sorted_by_what_is_asked(ft: Ft) -> None:
    def listed(by: str) -> list[str]:
        return named(ft("models", "torchvision:vgg1?_bn", "--sort", by).stdout)

    rising = [f"torchvision:vgg{n}_bn" for n in (11, 13, 16, 19)]
    assert listed("name") == listed("parameters") == listed("flops") == listed("size") == rising
    assert listed("accuracy") == rising[::-1]
    assert len(named(ft("models", "--sort", "size").stdout)) > 80  # without a pattern, too, it lists


def test_a_model_is_shown_with_stages_names_and_weights(ft: Ft) -> None:
    text = ft("models", "show", "torchvision:vgg16").output
    assert "features.28.weight" in text
    assert "397923af" in text
    about = json.loads(ft("models", "show", "torchvision:vgg16", "--json").output)
    assert about["feature_dim"] == 4096
    assert [stage["name"] for stage in about["stages"]][:2] == ["block1", "block2"]
    out = io.StringIO()
    print_model(about, False, Display(Console(file=out, width=80, force_terminal=True, color_system=None)))
    weights = out.getvalue()[out.getvalue().index(" weights") :]
    assert max(map(len, weights.splitlines())) <= 80
    assert "vgg16-397923af.pth" in weights
    assert "https://" in weights


@pytest.mark.slow
def test_what_is_frozen_in_part_is_never_said_to_be_frozen_whole(ft: Ft) -> None:
    printed = ft("plan", "--backbone", "torchvision:resnet18", "--freeze", "bitfit").output
    assert "99% frozen" in printed
    assert "100% frozen" not in printed


def test_plugins_are_listed_with_their_distribution(ft: Ft) -> None:
    listed = json.loads(ft("plugins", "--json").output)
    built_in = {(row["kind"], row["name"]) for row in listed if row["distribution"] == "ftkit"}
    assert built_in == {
        *(("backbone", name) for name in ("torchvision", "timm", "hub")),
        *(
            ("freeze", name)
            for name in ("none", "all", "regex", "depth", "until", "type", "batchnorm", "blocks", "bitfit", "fisher")
        ),
        *(("head", name) for name in ("linear", "mlp", "cosine", "gem", "attention-pool", "stages")),
        *(("weights", name) for name in ("official", "mirror", "local", "pip", "hf", "fsspec", "s3", "gs")),
        *(("data", name) for name in ("folder", "csv", "demo", "webdataset", "parquet", "hf")),
        *(("task", name) for name in ("classification", "multilabel", "regression")),
        *(("optimizer", name) for name in ("adamw", "sgd", "nadam", "radam", "adafactor", "muon", "lbfgs", "sweep")),
        *(("augmentation", name) for name in ("none", "flip", "standard", "strong", "geometric", "trivial", "rand")),
        *(("tracker", name) for name in ("csv", "tensorboard", "mlflow", "wandb", "trackio")),
        *(
            ("recipe", name)
            for name in ("default", "quick", "linear-probe", "best", "lp-ft", "gradual", "discriminative")
        ),
        *(("recipe", name) for name in ("surgical", "full", "bitfit", "lora")),
        *(("exporter", name) for name in ("litert", "onnx", "openvino", "torch-export", "safetensors")),
    }
    assert all(row["state"] == "ok" for row in listed)
    assert "torchvision" in ft("plugins").output


def test_describe_renders_every_installed_component(ft: Ft) -> None:
    for row in json.loads(ft("plugins", "--json").output):
        text = ft("describe", f"{row['kind']}:{row['name']}").output
        assert row["summary"] in text
        schema = json.loads(ft("describe", f"{row['kind']}:{row['name']}", "--json").output)
        for setting, about in schema.get("properties", {}).items():
            assert setting in text
            assert about.get("description"), f"{row['name']}.{setting} has no description"
