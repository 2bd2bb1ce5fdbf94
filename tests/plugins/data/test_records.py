"""What the plugin offers, and that looking at it costs nothing."""

from __future__ import annotations

import subprocess
import sys

from ft.extension.installed import Component, implementation, load_plugins, settings_class


def ours() -> list[Component]:
    return [component for component in load_plugins().components("data") if component.distribution == "ftkit"]


def test_the_sources_are_installed_and_their_records_point_at_what_exists() -> None:
    assert [component.name for component in ours()] == [
        "csv",
        "demo",
        "folder",
        "hf",
        "parquet",
        "webdataset",
    ]
    for component in ours():
        assert callable(implementation(component, "load"))
        assert all(field.description for field in settings_class(component).model_fields.values())


def test_looking_at_the_sources_loads_neither_torch_nor_pillow() -> None:
    code = "import sys, ft_data; list(ft_data.ft_data_sources()); print({'torch', 'PIL', 'pydantic'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
