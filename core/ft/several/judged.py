"""How several runs do alone and together, on images that trained none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ft.extension.tasks import Figure
from ft.machine.display import Display
from ft.machine.layout import Columns, print_table
from ft.run.position import merit
from ft.task.chosen import ChosenTask
from ft.text.counting import number_of


@dataclass(frozen=True, eq=False)
class Together:
    """The figures of each run alone, by its folder, and of all together, on the validation images, and on the test
    images where there are any; `figure` is the one by which they are compared, and `taken` are the runs that are in
    what was made."""

    figure: Figure
    alone: Mapping[str, Mapping[str, Mapping[str, float]]]
    made: Mapping[str, Mapping[str, float]]
    taken: tuple[str, ...]
    images: Mapping[str, int]

    @property
    def best(self) -> str:
        """The best run alone."""
        return max(self.alone, key=lambda name: merit(self.alone[name]["val"], self.figure))

    @property
    def is_better(self) -> bool:
        """Whether what was made is better on the validation images than the best run alone."""
        return merit(self.made["val"], self.figure) > merit(self.alone[self.best]["val"], self.figure)

    def plain(self) -> dict[str, object]:
        """For JSON."""
        return {
            "runs": [{"run": name, "taken": name in self.taken, **dict(each)} for name, each in self.alone.items()],
            "together": dict(self.made),
            "images": dict(self.images),
            "better": self.is_better,
        }


def print_together(found: Together, called: str, task: ChosenTask, display: Display) -> None:
    """A row for each run and one for all, what is called `called`; then whether that is better, and on what it was
    measured."""
    splits = list(found.made)
    names = [(split, figure) for split in splits for figure in task.figures if figure.name in found.made[split]]
    heads = [f"{figure.title}{', test' if split == 'test' else ''}" for split, figure in names]

    def row(name: str, each: Mapping[str, Mapping[str, float]], mark: str) -> tuple[str, ...]:
        return (name, mark, *(figure.written(each[split][figure.name]) for split, figure in names))

    rows = [row(name, each, "yes" if name in found.taken else "no") for name, each in found.alone.items()]
    rows.append(row(called, found.made, ""))
    spare = [head for head in heads if head.startswith("loss")]
    print_table(("run", "taken", *heads), rows, Columns(right=heads, squeeze=("run",), spare=spare), display.out)
    best, title = found.best, found.figure.title
    then, now = (each["val"][found.figure.name] for each in (found.alone[best], found.made))
    than = f"{title} {found.figure.written(now)}, {best} alone {found.figure.written(then)}"
    better = "better than" if found.is_better else "no better than"
    display.tell(f"{called} is {better} the best run alone on the validation images: {than}")
    display.tell(f"measured on {_counted(found)}")


def _counted(found: Together) -> str:
    """On which images it was measured, and what was chosen by them."""
    said = f"{number_of(found.images['val'], 'validation image')} that trained none of the runs, which chose by such"
    tested = number_of(found.images.get("test", 0), "test image")
    return f"{said}; and on {tested} by which nothing was chosen" if "test" in found.images else said
