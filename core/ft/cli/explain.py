"""`ft explain`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ft.cli.using import bad_images_option, load_run, using_a_run
from ft.machine.memory import garbage_waits
from ft.text.counting import number_of

if TYPE_CHECKING:
    from ft.cli.answers import Show


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(allow_dash=True), nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    required=True,
    help="write the overlays there, as NAME.png, in folders as the images are",
)
@click.option(
    "--of",
    "names",
    multiple=True,
    metavar="NAME",
    help="explain this class, label or target instead of the answer; repeat for more",
)
@bad_images_option()
@using_a_run
def explain(
    run: Path, images: tuple[str, ...], out: Path, names: tuple[str, ...], bad: str, as_json: bool, **machine: Any
) -> None:
    """Draw where in IMAGES lies what the model of RUN answers from, over each in grey.

    IMAGES are as for `ft predict`. Of CNNs the map is a Grad-CAM (Selvaraju et al. 2017), of networks whose layers give
    tokens a LayerCAM (Jiang et al. 2021).
    """
    with garbage_waits():
        from ft.inference.explain import explainer
    from ft.cli.answers import Unanswered, end_with_bad, json_list, table
    from ft.cli.drawn import Drawn, drawn
    from ft.data.pictures import Picture
    from ft.inference.asked_images import image_paths
    from ft.inference.form import Form
    from ft.inference.overlay_files import overlay_paths
    from ft.inference.prediction import Prediction
    from ft.machine.display import Display

    display = Display()
    paths = list(dict.fromkeys(image_paths(images, lambda: sys.stdin.buffer.read())))
    asked: list[str | None] = [*dict.fromkeys(names)] or [None]
    targets = overlay_paths(paths, out, [name or "" for name in asked])
    trained = load_run(run, machine)
    explainers = [explainer(trained, name) for name in asked]
    form = Form(1, Drawn.like())
    shown = [str(each) for some in targets for each in some.values()] + list(trained.space.names)
    failed, empty, method = dict[str, Prediction](), 0, ""
    with json_list(form, display) if as_json else table(paths, shown, form, display) as show_:
        show: Show = show_
        for ask, to in zip(explainers, targets, strict=True):
            done = 0
            for some in ask(trained, [Picture.at(path) for path in paths], display):
                those = paths[done : done + len(some)]
                rows = [drawn(path, each, to[path]) for path, each in zip(those, some, strict=True)]
                show(rows)
                done += len(some)
                failed |= {row.name: row for row in rows if row.error}
                empty += sum(each.empty for each in some if not isinstance(each, str))
                method = next((each.said_how for each in some if not isinstance(each, str)), method)
    written = len(asked) * (len(paths) - len(failed))
    if method:
        display.say(f"{number_of(written, 'overlay')} in {out}, by {method}")
    if empty:
        display.warn(
            f"{number_of(empty, 'map is', 'maps are')} empty: at that layer nothing in the image speaks for what is "
            "explained, and the overlay is the picture alone"
        )
    unanswered = Unanswered()
    unanswered.add(row.error for row in failed.values())
    end_with_bad(unanswered, len(paths), bad, "", display)
