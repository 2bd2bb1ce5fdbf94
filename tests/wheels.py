"""Distributions in their installed form, from wheels that are built as pip would build them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZipFile

BUILD = """
import os, sys
from hatchling.build import build_wheel
for project in sys.argv[2:]:
    os.chdir(project)
    build_wheel(sys.argv[1])
"""
TEST = """
import sys, pytest
from pathlib import Path
site, modules = sys.argv[1:3]
sys.path.insert(0, site)  # before what may be installed as editable
already = "ignore:Module already imported so cannot be rewritten:pytest.PytestAssertRewriteWarning"  # ft itself
failed = pytest.main(["-W", already, *sys.argv[3:]])
for name in filter(None, modules.split(",")):
    assert Path(sys.modules[name].__file__).is_relative_to(site), f"{sys.modules[name]} is not from its wheel"
sys.exit(failed)
"""
"""A program that runs pytest on modules which have to come from the folder SITE: SITE [MODULE,MODULE…] ARGUMENTS."""


def install(projects: Iterable[Path], folder: Path) -> Path:
    """Build wheels and unpack them, which is all that installing pure Python is; return the folder of modules."""
    wheels, site = folder / "wheels", folder / "site"
    wheels.mkdir()
    command = [sys.executable, "-c", BUILD, str(wheels), *map(str, projects)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    for wheel in wheels.glob("*-py3-none-any.whl"):
        with ZipFile(wheel) as archive:
            archive.extractall(site)
    return site
