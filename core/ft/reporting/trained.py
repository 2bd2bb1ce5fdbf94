"""What trained and what did not, with the proof; what it took; where the weights come from; how to use the model, and
to repeat the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ft.extension.sections import Code, Facts, Layer, Layers, Note, Part, Section
from ft.plan.records import CacheCost, Plan
from ft.plan.text import memory_taken
from ft.reporting.finished import Finished
from ft.run.report_text import computed_once
from ft.text.counting import number_of
from ft.text.names import typed


def what_trained(finished: Finished) -> Section:
    """The network from input to output, facts, commands, and what the run warned of."""
    report = finished.report.model_dump()
    parts = (
        *([_layers(finished.plan)] if finished.plan else []),
        Facts(tuple(_facts(finished, report))),
        *_commands(finished),
        *(Note(str(text), warns=True) for text in report.get("warnings", ())),
    )
    return Section("What trained", parts, "The network from input to output, and all that it takes to do this again.")


def _layers(plan: Plan) -> Part:
    """Each stage, and where what was computed once ends: before the first one of which something trains."""
    frozen = [stage.frozen_numel == stage.numel and not stage.batchnorm_moving for stage in plan.stages]
    cut = frozen.index(False) if plan.cache.keeps == "features" and not all(frozen) else 0
    stages = tuple(
        Layer(
            stage.name,
            stage.numel,
            stage.frozen_numel / stage.numel if stage.numel else float(not stage.batchnorm_moving),
            ", ".join((*stage.rules, *(f"learning rate {lr:g}" for lr in stage.lrs))),
        )
        for stage in plan.stages
    )
    return Layers(stages, cut, f"What is computed once ends at {', '.join(plan.cache.tensors)}." if cut else "")


def _facts(finished: Finished, report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    plan = finished.plan
    proof = f"unchanged with their buffers: sha256 {str(report.get('frozen_digest_after'))[:12]} before and after"
    frozen = report.get("frozen_parameters", 0)
    if adapted := report.get("adapted", 0):
        proof += f"; then {number_of(adapted, 'adapter')} merged into them, which is what was saved"
    yield "frozen", f"{frozen:,} parameters, {proof}" if frozen else "nothing"
    for number, phase in enumerate(report.get("each_phase", ()), start=1):
        done = number_of((phase["ended"] or phase["begins"]) - phase["begins"], "epoch")
        still = (
            f"{phase['frozen_parameters']:,} unchanged with their buffers: sha256 {phase['frozen_digest_before'][:12]}"
        )
        yield (
            f"phase {number}",
            f"{phase['trainable_parameters']:,} parameters trained in {done}, {still} before and after",
        )
    yield "trained", f"{report.get('trainable_parameters', 0):,} parameters in {report.get('seconds', 0):.1f} s"
    yield "computed once", computed_once(CacheCost(**report["cache"]), report.get("speedup"))
    if plan:
        yield "memory", memory_taken(plan)
        yield "machine", f"{plan.device}, {plan.precision}"
        yield "backbone", f"{plan.backbone}, images of {plan.image_size} px, augmentation {plan.augment}"
        yield "head", ", ".join(plan.head)
    yield from _weights(finished, plan)
    yield from _data(finished, plan)
    yield "made with", _versions(finished)


def _weights(finished: Finished, plan: Plan | None) -> Iterator[tuple[str, str]]:
    weights = finished.provenance.get("weights")
    if not isinstance(weights, dict):
        yield "weights", plan.weights if plan else "none (random)"
        return
    yield "weights", f"{weights.get('entry')} from {weights.get('source')}, sha256 {str(weights.get('sha256'))[:12]}"
    if url := weights.get("url"):
        yield "published at", str(url)
    yield "publisher's note", str(weights.get("note") or "none on record; look up under which licence they are")


def _data(finished: Finished, plan: Plan | None) -> Iterator[tuple[str, str]]:
    counts = ", ".join(f"{count:,} {split}" for split in ("train", "val", "test") if (count := finished.count(split)))
    names = number_of(len(finished.space.names), *finished.task.record.noun)
    yield "images", f"{finished.provenance.get('data')}: {counts}; {names}; seed {finished.config.seed}"
    yield from (
        ("how they were split", note) for note in (plan.notes if plan else ()) if note.startswith(("val:", "test:"))
    )


def _versions(finished: Finished) -> str:
    """ft, Python, torch, and the distributions of all components."""
    about = finished.versions.model_dump()
    own = [f"{name} {about[name]}" for name in ("ft", "python", "torch", "torchvision") if name in about]
    others = {
        f"{each.distribution} {each.version}" for each in finished.versions.components if each.distribution != "ftkit"
    }
    return ", ".join((*own, *sorted(others)))


def _commands(finished: Finished) -> Iterator[Code]:
    path = finished.run.path
    yield Code("Use the model", typed("ft", "predict", path, "IMAGES"))
    yield Code("Use it in Python", f"import ft; print(ft.load({str(path)!r}).predict(['image.jpg']))")
    yield Code("Repeat the run", typed("ft", "run", "--config", path / "config.yaml"))
    yield Code("Repeat it with exactly these components", typed("ft", "run", "--locked", path))
