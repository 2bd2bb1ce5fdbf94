"""The folder of a run: what was asked for, what was planned, how far it came, what came out.

config.yaml         the resolved config; `ft run --config` with it repeats the run
plan.json           the plan, and the phases that led to it
images.csv          every image: path, class, split and digest
earlier.csv         of a run that started from another one: images of those before, by digest, and their splits
versions.json       ft, torch, and the distribution, version and digest of every component used
frozen.safetensors  tensors that do not change (until model.safetensors holds them)
last.pt, best.pt    checkpoints
phase.pt            checkpoint of the best epoch of a phase, where the best of the run is from an earlier one
epoch-N.pt          weights of an epoch, until they are averaged with those of others
phases.json         of a run in phases: what each that has begun was asked for, and the proof of its freeze
metrics.jsonl       a line for each finished epoch
model.safetensors   the best epoch's weights
model.json          how to rebuild the model and what to feed it
outputs.safetensors what the saved model gives for each validation and test image
known.json          what features that were kept tell of the images
report.json         what came of it
report.html         the same as a page
familiar.safetensors  what the training images are like, for `ft predict --unknown`
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ft.config.loading import load_config
from ft.config.phases import refuse_changes
from ft.config.run_folders import check_there
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.tasks import LabelSpace
from ft.extension.unpackaged import refuse_unpackaged
from ft.machine.files import left_behind, publish_text
from ft.model.adapted import adapter_names, merged_state
from ft.plan.records import NOT_DECISIVE, Plan
from ft.run.checkpoints import (
    Checkpoint,
    check_all_there,
    check_optimizer,
    check_tensors,
    load_checkpoint,
    load_tensors,
    moving_tensors,
    put_checked,
    save_checkpoint,
    save_tensors,
)
from ft.run.position import Phase, Position
from ft.run.records import PHASES, SWEEP, ModelFile, PlanFile, RunFile, VersionsFile, choose_trial, read_record
from ft.text.documents import as_yaml
from ft.text.names import typed
from ft.text.redaction import without_secrets


class _AnyFile(RunFile, extra="allow"):
    """Whatever mapping a file holds."""


class Run:
    """One run's folder. Everything in it appears whole or not at all. Where it is not this process that `writes`, its
    states, figures and config are another one's to write, and only read here."""

    def __init__(self, path: Path, writes: bool = True) -> None:
        self.path, self.writes = path, writes

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Publish one of the folder's JSON files, without what may be secret in addresses."""
        text = json.dumps(without_secrets(content), indent=2, ensure_ascii=False, default=str)
        self._publish(name, text + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """Read one of the folder's JSON files as it is. Raises FtError when it is missing or broken."""
        return read_record(self.path / name, _AnyFile).model_dump()

    def model_file(self) -> ModelFile:
        """Read model.json. Raises FtError, as the next two, where it is missing or not what ft writes."""
        return read_record(self.path / "model.json", ModelFile)

    def plan_file(self) -> PlanFile:
        """Read plan.json."""
        return read_record(self.path / "plan.json", PlanFile)

    def versions_file(self) -> VersionsFile:
        """Read versions.json."""
        return read_record(self.path / "versions.json", VersionsFile)

    def write_model_file(self, content: ModelFile) -> None:
        """Publish model.json."""
        self.write_json("model.json", content.model_dump(mode="json"))

    def keep_numbers(self, space: LabelSpace) -> None:
        """Publish model.json with the numbers of a label space, where it has others."""
        about = self.model_file()
        if about.numbers != space.numbers:
            self.write_model_file(about.model_copy(update={"numbers": dict(space.numbers)}))

    def config(self, trust_code: bool, flags: Mapping[str, Any] | None = None) -> Config:
        """The config of the run, with what `flags` change in it; data of another place keeps its settings.

        Raises FtError when this is no run, and as `refuse_unpackaged` does.
        """
        check_there(self.path)
        if not (self.path / "config.yaml").is_file():
            swept = f"; {choose_trial(self.path)}" if (self.path / SWEEP).is_file() else ""
            raise FtError(f"{self.path} is no run: it holds no config.yaml{swept}")
        config = load_config(self.path / "config.yaml")
        if not trust_code:
            refuse_unpackaged(config.references(), str(self.path / "config.yaml"))
        refuse_changes(config, flags or {}, str(self.path))
        if flags and isinstance(flags.get("data"), str):
            flags = {**flags, "data": {**config.data.settings, "use": flags["data"]}}
        return load_config(self.path / "config.yaml", flags=flags) if flags else config

    def write_config(self, config: Config) -> None:
        """Publish config.yaml, with which the run can be repeated elsewhere; no address in it holds a secret."""
        self._publish("config.yaml", as_yaml(repeatable(config)))

    def add_versions(self, versions: Mapping[str, Any]) -> None:
        """Add to versions.json the components that it lacks."""
        recorded = self.versions_file()
        known = {(each.kind, each.name) for each in recorded.components}
        added = [each for each in versions["components"] if (each["kind"], each["name"]) not in known]
        content = recorded.model_dump(mode="json")
        self.write_json("versions.json", {**content, "components": [*content["components"], *added]})

    def write_plan(self, plan: Plan, phases: Sequence[Phase]) -> None:
        """Publish plan.json."""
        self.write_json("plan.json", {**asdict(plan), "phases": [asdict(phase) for phase in phases]})

    def started_in(self) -> Path:
        """The folder that relative paths in the config start from; the current one if that is gone."""
        folder = self.versions_file().started_in
        return Path(folder) if folder and os.path.isdir(folder) else Path.cwd()

    def has_checkpoint(self, name: str) -> bool:
        return (self.path / f"{name}.pt").exists()

    def save_checkpoint(self, name: str, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint whole or not at all, and return where."""
        path = self.path / f"{name}.pt"
        if self.writes:
            save_checkpoint(path, checkpoint)
        return path

    def read_checkpoint(self, name: str) -> Checkpoint:
        return load_checkpoint(self.path / f"{name}.pt")

    def load_checkpoint(
        self, name: str, module: nn.Module, needed: Collection[str] = (), to_use: bool = False
    ) -> Checkpoint:
        """Read a checkpoint and put its tensors into `module`: those from which training goes on, or with `to_use`
        those that a model is made of. Raises FtError when they do not fit, one that is `needed` lacks, or the
        optimizer's state is of other parameters."""
        checkpoint, path = self.read_checkpoint(name), self.path / f"{name}.pt"
        check_all_there(needed, checkpoint.tensors, path)
        check_tensors(module, checkpoint.average, path)
        put_checked(module, checkpoint.weights if to_use else checkpoint.tensors, path)
        check_optimizer(module, checkpoint.optimizer, path)
        return checkpoint

    def restore(self, module: nn.Module) -> Checkpoint:
        """Put the run's last state into `module`, all of it: what training moves, and what it does not."""
        path = self.frozen_file()
        still = load_tensors(path)
        put_checked(module, still, path)
        last = self.load_checkpoint("last", module)
        check_all_there(module.state_dict(), {**still, **last.tensors}, self.path / "last.pt")
        return last

    def keep_frozen(self, module: nn.Module, moving: Mapping[str, torch.Tensor]) -> None:
        """Write the tensors that training does not move; once in a phase, since they do not change."""
        save_tensors(
            self.path / "frozen.safetensors", {k: v for k, v in module.state_dict().items() if k not in moving}
        )

    @contextmanager
    def paged_out(self, module: nn.Module, names: Collection[str]) -> Iterator[None]:
        """A block in which parameters that nobody needs lie in the folder's file instead of in memory.

        They are mapped: whoever does read one gets its values, from the disk. Afterwards they are in memory again,
        dense and on the CPU.
        """
        path = self.path / "frozen.safetensors"
        tensors = load_tensors(path) if names and path.exists() else {}
        idle = {name: module.get_parameter(name) for name in names if name in tensors}
        for name, parameter in idle.items():
            parameter.data = tensors.pop(name)
        try:
            yield
        finally:
            for parameter in idle.values():
                parameter.data = parameter.data.clone()

    def frozen_file(self) -> Path:
        """Where the tensors are that training does not move, perhaps with others. Raises FtError when nowhere."""
        for name in ("frozen.safetensors", "model.safetensors"):
            if (self.path / name).exists():
                return self.path / name
        raise FtError(f"{self.path} holds no weights to resume from; start the run again")

    def save_model(self, module: nn.Module, keep_frozen: bool = False) -> None:
        """Publish all tensors as model.safetensors, those of adapters merged into the weights that they stand beside.
        The frozen ones then need no file of their own, unless the run would go on with others (`keep_frozen`)."""
        save_tensors(self.path / "model.safetensors", merged_state(module))
        if not keep_frozen and not adapter_names(module):
            (self.path / "frozen.safetensors").unlink(missing_ok=True)

    def save_best(self, module: nn.Module, plan: Plan) -> Position:
        """Publish the best state, which `module` gets, as the run's model; return how far the run had come there."""
        best = self.load_checkpoint(
            "best", module, moving_tensors(module, plan.frozen, plan.frozen_modules), to_use=True
        )
        self.save_model(module, keep_frozen=not best.tensors.keys().isdisjoint(plan.frozen))
        return best.position

    def load_model(self, module: nn.Module) -> None:
        """Put model.safetensors into `module`. Raises FtError when it is missing or does not fit."""
        path = self.path / "model.safetensors"
        if not path.exists():
            raise FtError(f"{self.path} has no model.safetensors yet; finish it with: {go_on_with(self.path)}")
        tensors = load_tensors(path)
        check_all_there(module.state_dict(), tensors, path)
        put_checked(module, tensors, path)

    def sweep(self) -> None:
        """Delete what writers that were killed left in the folder."""
        for each in left_behind(self.path):
            each.unlink(missing_ok=True)

    def what_changed(self, plan: Plan) -> list[str]:
        """What in `plan` is decisive, and not as in plan.json; of the recipe, which settings."""
        before, now = (
            self.plan_file().model_dump(mode="json"),
            without_secrets(json.loads(json.dumps(asdict(plan), default=str))),
        )
        besides = (*NOT_DECISIVE, "phases", "recipe")
        recipe = now["recipe"]
        then = before.get("recipe", recipe)
        changed = [key for key in before | now if key not in besides and before.get(key) != now.get(key)]
        return list(dict.fromkeys([*changed, *(key for key in then | recipe if then.get(key) != recipe.get(key))]))

    def files_of_report(self) -> tuple[Path, ...]:
        """The small files of a finished run: what was asked for, how it was made, and what came of it."""
        names = ("config.yaml", "plan.json", "versions.json", "metrics.jsonl", "model.json", "report.json")
        return tuple(self.path / name for name in names)

    def log(self, position: Position) -> None:
        """Publish metrics.jsonl: a line for each finished epoch, of a run in phases with the number of its phase."""
        in_phases = (self.path / PHASES).exists()
        lines = [
            {"epoch": each.epoch, "phase": position.phase_of(each.epoch), **each.line()} if in_phases else each.line()
            for each in position.history
        ]
        self._publish("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))

    def _publish(self, name: str, text: str) -> None:
        if self.writes:
            publish_text(self.path / name, text)


def repeatable(config: Config) -> dict[str, Any]:
    """A config as plain data, with which its run can be repeated elsewhere; no address in it holds a secret."""
    plain: dict[str, Any] = without_secrets(config.model_copy(update={"run_dir": None}).model_dump(mode="json"))
    return plain


def go_on_from(run: Run) -> str:
    """What to do where a run ended before its time."""
    return f"Continue with: {go_on_with(run.path)}"


def go_on_with(path: Path) -> str:
    """The command with which a run goes on."""
    return typed("ft", "run", "--resume", path)
