"""A run's model as an exporter gets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from ft.exporting.records import Precision, Size
from ft.extension.exporters import Portable
from ft.inference.load import Trained
from ft.inference.self_contained import Seeing, SelfContained


@dataclass(frozen=True, eq=False)
class Making:
    """What a model is made portable of, in any precision: the trained one, the `size` of its images, the texts that go
    with it, the text of model.json, and arrays of training images."""

    trained: Trained
    size: Size
    texts: dict[str, str]
    about: str
    calibration: Callable[[], Iterator[NDArray[Any]]]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs, the network's own first."""
        return output_names(self.trained)

    @property
    def example(self) -> torch.Tensor:
        """Two images, as torch.export takes one for what is always so."""
        side = self.trained.preprocessing.crop_size
        height, width = (side + 3, side + 5) if self.size == "any" else (side, side)
        drawn = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8, generator=drawn)

    def whole(self, precision: Precision) -> SelfContained:
        """The network with all that is before and after it."""
        trained = self.trained
        seeing = Seeing(trained.preprocessing, self.size == "any")
        return SelfContained(
            trained.module, seeing, lambda outputs: trained.task.readout(outputs, trained.space), precision
        ).eval()

    def portable(self, precision: Precision, module: torch.nn.Module | None = None) -> Portable:
        """What an exporter gets; of another `module` than the whole, which returns one tensor."""
        return Portable(
            module or self.whole(precision),
            self.outputs if module is None else self.outputs[:1],
            self.example,
            self.size == "any",
            self.texts,
            precision,
            self.calibration,
            self.trained.module,
            self.about,
        )


def output_names(trained: Trained) -> tuple[str, ...]:
    """What a file calls its outputs: those of the network, and what they mean in numbers, where the task says so."""
    record = trained.task.record
    return (record.outputs_name, record.readout_name) if record.readout is not None else (record.outputs_name,)
