"""A data source for ft: the ELPV photographs of solar cells, from the package elpv-dataset."""

from __future__ import annotations

from collections.abc import Iterator

from ft import DataSource, hookimpl


@hookimpl
def ft_data_sources() -> Iterator[DataSource]:
    yield DataSource(
        "elpv",
        "2,624 electroluminescence photographs of solar cells, functional or defective (CC BY-NC-SA 4.0)",
        load="ft_elpv.cells:load",
        settings="ft_elpv.cells:Settings",
        example="elpv",
    )
