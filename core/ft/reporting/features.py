"""What features know, in a run's page: as the run found it out from what it kept, or as it is found out anew."""

from __future__ import annotations

import contextlib
import json

from ft.config.component import ComponentConfig
from ft.config.schema import Config
from ft.config.training import TrainingConfig
from ft.data.image_list import check_same_images
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.sections import Code, Note, Section
from ft.extension.tasks import label_text
from ft.gathering import Gathered, gather
from ft.inference.familiar_images import keep_familiar
from ft.insight.kept import NAME, as_kept, from_kept
from ft.insight.section import TITLE, known_section
from ft.knowing import know
from ft.machine.display import Display
from ft.machine.files import publish_text
from ft.reporting.finished import Finished
from ft.run.folder import Run
from ft.text.documents import read_json
from ft.text.names import typed
from ft.text.reading import MOST_TABLE

WHY_NONE = (
    "As a run ends it looks at the features of its images, where it kept them: where the head alone trains, and images "
    "are not varied. Of this run they are found out by running the pretrained network over its images once:"
)


def keep_known(run: Run, gathered: Gathered, plugins: Plugins, display: Display) -> None:
    """Find out what was `gathered` of a run's images tells, and publish it as known.json in the run's folder."""
    names = [item.picture.name for item in gathered.data.items]
    known = as_kept(know(gathered, plugins, display), names)
    publish_text(run.path / NAME, json.dumps(known) + "\n")


def keep_what_is_familiar(run: Run, gathered: Gathered) -> None:
    """Keep what the run's model, whose features were `gathered`, is familiar with, for `ft predict --unknown`."""
    train, val = len(gathered.data.train), len(gathered.data.val)
    keep_familiar(run.path, gathered.features[:train], gathered.features[train : train + val])


def find_out(finished: Finished, plugins: Plugins, display: Display) -> None:
    """Run the pretrained network over the images of a run, and keep what their features tell. Raises FtError where the
    images are not those of the run any more, and for whatever the user can mend."""
    with contextlib.chdir(finished.run.started_in()):
        gathered = gather(_to_gather(finished.config), plugins.preferring(finished.config.prefer), display)
    check_same_images(finished.run.path / "images.csv", gathered.data)
    keep_known(finished.run, gathered, plugins, display)


def _to_gather(config: Config) -> Config:
    """The config of a run that would train a linear head on the same images, and no more."""
    images = {"augment": ComponentConfig(use="auto"), "views": None}
    return config.model_copy(
        update={
            "head": ComponentConfig(use="linear"),
            "freeze": (ComponentConfig(use="all"),),
            "train": (),
            "groups": (),
            "training": TrainingConfig(),
            "images": config.images.model_copy(update=images),
            "phases": (),
            "run_dir": None,
        }
    )


def what_features_know(finished: Finished) -> Section:
    """The section: of known.json, or how to get one. Raises FtError for a file that does not fit the run's images."""
    path = finished.run.path / NAME
    if not path.exists():
        command = Code("find it out", typed("ft", "report", finished.run.path, "--features"))
        return Section(TITLE, (Note(WHY_NONE), command))
    said = [(image.path, image.split, label_text(image.label)) for image in finished.images]
    try:
        content = read_json(path, MOST_TABLE)
    except (OSError, ValueError) as error:
        raise FtError(f"cannot read {path}: {error}") from None
    known = from_kept(content, said)
    return known_section(known, {name: place for place, (name, _, _) in enumerate(said)}, len(said))
