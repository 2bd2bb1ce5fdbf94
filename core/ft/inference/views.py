"""Test-time augmentation: what a model answers to several views of an image, averaged (Krizhevsky, Sutskever & Hinton
2012, section 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ft.config.component import ComponentConfig
from ft.config.images import AUTO
from ft.config.phases import configs_of
from ft.config.use import FLIP, views_in
from ft.data.augmentation import choose_augmentation
from ft.data.batches import Unread
from ft.data.dataset import ImageDataset
from ft.data.load import Item
from ft.data.transforms import eval_transform, network_input, train_transform
from ft.data.turned import TOGETHER, views_asked
from ft.data.views import Views
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Preprocessing
from ft.job import Looking
from ft.machine.turns import running_a_network
from ft.run.folder import Run
from ft.run.records import EXPORT, ViewsFile, read_record
from ft.training.predicting import loader_of


@dataclass(frozen=True)
class Averaged:
    """How images are asked about in several views: as it was `asked` for, and what makes the views of one image; None
    where it is mirrored."""

    asked: str
    views: Views | None = None

    def __str__(self) -> str:
        return f"--tta {self.asked}"


def averaged_over(asked: str, run: Run, preprocessing: Preprocessing, plugins: Plugins, trust_code: bool) -> Averaged:
    """What `--tta flip` or `--tta views:N` means for a run. Raises FtError where the run has no such views."""
    if asked == FLIP:
        return Averaged(asked)
    if not (run.path / "config.yaml").is_file():
        return Averaged(asked, _told(asked, run, preprocessing))
    number, config = views_in(asked), run.config(trust_code)
    last = configs_of(config)[-1]
    augment = last.images.augment
    if augment.use == AUTO:  # in a phase it follows from what trains there
        augment = ComponentConfig(use=run.plan_file().augment)
    chosen = choose_augmentation(augment, plugins.preferring(config.prefer))
    square, positions = eval_transform(preprocessing), chosen.positions()
    there = len(positions) if positions or not chosen.record.varies else number
    if there < 2:
        raise FtError(
            f"--tta {asked} replays the augmentation of the run, and of '{augment}' all views are the same; use --tta "
            "flip"
        )
    if number > there:
        raise FtError(
            f"--tta {asked}: the augmentation of the run, '{augment}', has {there} views; use --tta views:{there}"
        )
    varied = None if positions else train_transform(preprocessing, chosen)
    return Averaged(asked, Views(square, number, config.seed, positions, varied))


def _told(asked: str, run: Run, preprocessing: Preprocessing) -> Views:
    """The views that the folder of an export says the augmentation of its run to have. Raises FtError where it says
    fewer than are asked for."""
    if not (run.path / EXPORT).is_file():
        raise FtError(
            f"--tta {asked} replays the augmentation of the run, and {run.path} holds no config.yaml that names it; "
            "--tta flip needs none"
        )
    said = read_record(run.path / EXPORT, ViewsFile).views
    return Views(eval_transform(preprocessing), views_in(asked), 0, views_asked(asked, said, str(run.path)))


def averaged_batches(
    module: nn.Module,
    items: Sequence[Item],
    looking: Looking,
    averaged: Averaged,
    average: Callable[[Tensor], Tensor],
    unread: Unread | None = None,
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Yield (outputs [N, K] in float32, targets), both on the CPU, for `items` in their order, as `predict_batches`
    does: what `average` makes of the outputs for each view [V, N, K]."""
    dataset = ImageDataset(items, averaged.views or eval_transform(looking.preprocessing), seed=None)
    module.eval()
    with (
        closing(loader_of(dataset, looking, shuffle=False, unread=unread)) as loader,
        looking.display.progress("evaluating", len(loader), unit="batches") as bar,
    ):
        for done, (pixels, targets, _) in enumerate(loader.epoch(0), start=1):
            views = pixels.transpose(0, 1) if averaged.views else torch.stack([pixels, pixels.flip(-1)])
            answers = [_answered(module, some, looking) for some in torch.split(views, TOGETHER)]
            yield average(torch.cat(answers)), targets
            bar.advance(done)
            looking.stop.check()


def _answered(module: nn.Module, views: Tensor, looking: Looking) -> Tensor:
    """The outputs [V, N, K] for views [V, N, 3, S, S], as one batch: all images in the first view, then in the next."""
    with running_a_network(), torch.no_grad(), looking.machine.autocast():
        outputs = module(network_input(views.flatten(0, 1), looking.preprocessing, looking.machine))
    return torch.unflatten(outputs.float().cpu(), 0, views.shape[:2])
