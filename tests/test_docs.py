"""The documentation is true: its commands are planned or run, its code is executed, its links lead somewhere, and what
there is to document is documented.

`python tests/test_docs.py` writes what is made from the code: the config keys into docs/configuration.md, the settings
of the components that come with ft into docs/settings.md, what the conformance kit checks into docs/testing-plugins.md.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import dataclasses
import functools
import html
import importlib
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import click
import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image

import ft
import warm_python
import wheels
from conftest import TINY
from faults.repetitions import FULL
from ft import pytest_plugin
from ft.cli import COMMANDS, cli
from ft.config.flags import FLAGS
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.extension.discovery import GROUP
from ft.extension.installed import Component, Plugins, load_plugins, settings_class
from ft.extension.kinds import KINDS
from ft.extension.references import parse_reference
from ft.machine.display import Display
from ft.opening import open_run
from ft.testing.checks import CHECKS
from ft.testing.common import COMMON
from ft.tuning.records import SweepConfig
from ft.tuning.space import space_of
from packed import write_parquet, write_tars
from rooms import CORE, ROOMS

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*(ROOT / name for name in ("README.md", "README.zh.md", "CONTRIBUTING.md", "CHANGELOG.md")), *DOCS]
PAGE_OF = {
    "head": "backbones",
    "freeze": "freezing",
    "weights": "weights",
    "data": "data",
    "augmentation": "data",
    "exporter": "export",
}
"""Where the components of a kind are documented, unless on a page of its plural."""
DECIDED = ("README.md", "quickstart.md", "cache.md")
"""Pages of which all that is planned is decided in every test run; of others it is with FT_FAULTS=full."""
LONG = [["weights", "fetch"], ["weights", "doctor"], ["weights", "bundle"], ["plugins", "check"]]
MADE = re.compile(r"(?<=<!-- made -->\n).*(?=<!-- /made -->)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block; `name` is the file that its first line says it is (`# my_freeze.py`), if any."""

    language: str
    text: str

    @property
    def name(self) -> str:
        match = re.match(r"# (\S+\.\w+)\n", self.text)
        return match[1] if match else ""

    @property
    def content(self) -> str:
        return self.text.partition("\n")[2] if self.name else self.text

    def commands(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.startswith("ft ")] if self.language == "sh" else []


@functools.cache
def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [Block(language, text) for language, text in found]


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def all_docs() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in DOCS)


def named_blocks(language: str, files: bool) -> list[Block]:
    """Blocks that are files of this repository (`files`), or files of the reader's own; each once."""
    found = {b: None for page in PAGES for b in blocks(page) if b.language == language and b.name}
    return [block for block in found if ("/" in block.name) == files]


# The commands


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the pages take it to be: photographs, a table, files from the pages, and two finished runs."""
    folder = tmp_path_factory.mktemp("docs")
    for place in ("photos", "PATH"):
        for label, colour in (("cat", "orange"), ("dog", "brown")):
            (folder / place / label).mkdir(parents=True)
            for number in range(1, 6):
                Image.new("RGB", (40, 30 + number), colour).save(folder / place / label / f"{number}.jpg")
    shutil.make_archive(str(folder / "photos"), "tar", folder, "photos")
    write_tars(folder / "shards")
    write_parquet(folder / "tables" / "pets.parquet", ["cat", "dog"] * 4)
    (folder / "pets").mkdir()
    for name in ("cat_001", "cat_002", "dog_001", "dog_002"):
        Image.new("RGB", (40, 30), "grey").save(folder / "pets" / f"{name}.jpg")
    tables = [
        block.text
        for page in ("data", "tasks")
        for block in blocks(ROOT / f"docs/{page}.md")
        if block.language == "csv"
    ]
    for name, text in zip(("labels", "patients", "seen", "signs", "sizes"), tables, strict=True):
        (folder / f"{name}.csv").write_text(text)
    for block in named_blocks("python", files=False):
        (folder / block.name).write_text(block.content)
    with contextlib.chdir(folder):
        runpy.run_path("draw_leaves.py")  # grades/, of docs/writing-a-task.md
    return folder


@pytest.fixture
def type_(workspace: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path) -> Callable[..., Result]:
    """Type a command in the workspace. A run is only planned, or resumed for an epoch; what is LONG is only parsed.

    A plan that does not search for what can be computed once, which takes most of its time, says so by --cache off; one
    that decides nothing reads its settings and images, and builds its network.
    """
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("FT_CACHE", str(cache_folder))

    def only_open(config: Config, plugins: Plugins, display: Display) -> None:
        open_run(config, plugins, display, "empty", None)
        raise click.exceptions.Exit(0)

    def type_(command: str, searches: bool = True, decides: bool = True) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            return typed(command, searches, decides, patch)

    def typed(command: str, searches: bool, decides: bool, patch: pytest.MonkeyPatch) -> Result:
        args = shlex.split(command)[1:]
        if "--resume" in args:  # from where it stood, whichever commands came before
            shutil.rmtree("runs/mine")
            shutil.copytree("runs/first", "runs/mine")
            if "--epochs" in args:
                args[args.index("--epochs") + 1] = "2"
        if args[0] == "export" and "--out" in args:  # of a tiny network
            args[1:2] = [tiny_run(), "--trust-code"]
        if (
            args[:2] in LONG
            or "--locked" in args
            or (args[0] == "export" and "--out" not in args)
            or args[0] == "serve"
        ):
            args.append("--help")
        elif args[0] == "run" and "--resume" not in args:
            args[0] = "plan"
        if args[0] == "plan" and not searches:
            args += ["--set", "cache.promise=off"]
        if args[0] == "plan" and not decides:
            patch.setattr(importlib.import_module("ft.finetune"), "plan_phases", only_open)
        if args[0] == "plan" and "fisher:" in command:  # which takes gradients
            args += ["--set", "images.size=64"]
        if args[0] == "plan" and "--recipe" in args:  # which searches
            args += ["--set", "images.size=64"]
        if args[:2] == ["data", "check"] and "--backbone" in args:  # no weights are fetched
            args += ["--set", "weights=none", "--set", "images.size=32", "--set", "machine.workers=0"]
            args += [] if "--html" in args else ["--set", "cache.promise=off"]
        if args[0] == "probe":
            args += ["--set", "images.size=32"]
            args += [] if "--depths" in args else ["--set", "cache.promise=off"]
        if args[0] == "lr-find":  # which trains, so a smaller network
            args = [each.replace("resnet18", "shufflenet_v2_x0_5") for each in args]
            args += ["--set", "weights=none", "--set", "images.size=32", "--set", "machine.workers=0"]
            args += ["--set", "training.batch_size=2", "--set", "cache.promise=off"]
        if args[0] == "sweep":  # its trials are runs; all that comes before them is looked at
            args += ["--help"] if "--join" in args else []
            patch.setattr("ft.tuning.sweep.work", lambda *_: None)
            patch.setattr("ft.tuning.sweep.run_workers", lambda *_: None)
        if args[0] == "plan" and "--help" not in args:
            args += ["--set", "machine.resolved=fp32"]  # nothing is measured
        result = CliRunner().invoke(cli, args, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result

    if not (workspace / "runs").exists():
        flags = "--backbone torchvision:shufflenet_v2_x0_5 --weights none --freeze all --cache off --data ./photos"
        args = shlex.split(f"run {flags} --image-size 32 --epochs 1 --workers 0 --run-dir runs/first")
        assert CliRunner().invoke(cli, args, catch_exceptions=False).exit_code == 0
        for name in ("mine", "second"):
            shutil.copytree("runs/first", f"runs/{name}")
    return type_


def tiny_run() -> str:
    """The folder of a finished run of a tiny network; it is not the latest of those in `runs`, which pages speak of."""
    if not Path("tiny/run").exists():
        flags = f"--backbone {TINY}:small --weights none --cache off --data ./photos --image-size 16"
        args = shlex.split(f"run {flags} --epochs 1 --workers 0 --set report.html=false --run-dir tiny/run")
        assert CliRunner().invoke(cli, args, catch_exceptions=False).exit_code == 0
    return "tiny/run"


@pytest.mark.faults
def test_every_command_in_the_documentation_works(
    page: Path, type_: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    for block in blocks(page):
        if block.language == "yaml":
            Path(block.name).write_text(block.content)
    tried = {c for earlier in PAGES[: PAGES.index(page)] for block in blocks(earlier) for c in block.commands()}
    for command in dict.fromkeys(c for block in blocks(page) for c in block.commands()):
        if command in tried and "--config" not in command:  # a page has its own config
            continue
        if "lbfgs" in command and any("lbfgs" in each for each in tried):  # of a network whose cut is sooner found
            command = command.replace("efficientnet-lite:lite0", "torchvision:resnet18")
        searches = bool(re.search("--cache|--config|--views|--manifold|--recipe|lbfgs|sweep", command))
        decides = FULL or not searches or page.name in DECIDED or "-out" in command
        try:
            type_(command, searches, decides)
        except Exception as error:
            pytest.fail(f"{page.name}: {command}: {error}")


def test_what_ft_plan_is_said_to_print_is_printed(
    page: Path, type_: Callable[[str], Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ft.cache.decision.has_fast_bf16", lambda device: True)  # as where they were printed
    for before, block in zip(blocks(page), blocks(page)[1:], strict=False):
        is_plan = [command.split()[1] for command in before.commands()] == ["plan"]
        if is_plan and block.language == "text" and not block.text.startswith("error:"):
            printed = [line.strip() for line in type_(before.commands()[0]).stdout.splitlines()]
            said = [line.strip() for line in block.text.splitlines() if not line.startswith("machine")]
            assert [line for line in said if line not in printed] == [], page.name


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", PAGES, ids=lambda page: page.name)


def test_other_commands_name_what_exists(page: Path) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for block in blocks(page):
        for line in block.text.splitlines() if block.language == "sh" else ():
            words = shlex.split(line)
            if words[:1] == ["make"]:
                assert set(words[1:]) <= set(targets), line
            for word in words:
                if re.match(r"(\./)?(examples|tests|plugins|core|docs)/", word):
                    assert (ROOT / word).exists(), line


# The code


def test_code_that_is_said_to_be_a_file_of_this_repository_is_that_file() -> None:
    for language in ("python", "toml"):
        for block in named_blocks(language, files=True):
            assert block.content == (ROOT / block.name).read_text(encoding="utf-8"), block.name


def test_a_part_of_a_toml_file_is_in_the_example() -> None:
    whole = (ROOT / "examples/ft-freeze-biggest/pyproject.toml").read_text()
    for block in (b for page in PAGES for b in blocks(page) if b.language == "toml" and not b.name):
        assert tomllib.loads(block.text)
        assert block.text in whole


@pytest.mark.parametrize("block", named_blocks("python", files=False), ids=lambda block: block.name)
def test_the_readers_own_python_files_work(
    block: Block, type_: Callable[[str], Result], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(workspace)
    content = runpy.run_path(str(workspace / block.name))
    if any(hasattr(each, "ft_impl") for each in content.values()):
        stem = block.name.removesuffix(".py")
        (plugin,) = load_plugins([(EntryPoint(stem, stem, GROUP), "theirs", "1.0")]).all
        assert (plugin.error, len(plugin.components)) == ("", 1)
        del sys.modules[stem]


def test_code_without_a_name_runs_from_the_top_of_its_page_to_the_end(
    page: Path, type_: Callable[[str], Result], capsys: pytest.CaptureFixture[str]
) -> None:
    if page.name == "README.zh.md":
        return  # its code is that of README.md
    session: dict[str, Any] = {}
    for block in blocks(page):
        if block.language == "python" and not block.name:
            if "ft.export(" in block.text:
                tiny_run()
            with warnings.catch_warnings(action="ignore", category=ft.FtWarning):  # five images of one colour a class
                exec(compile(_quickly(block.text), f"{page.name}: {block.text}", "exec"), session)


@pytest.mark.filterwarnings(
    "ignore:::zmq", "ignore:::jupyter_client", "ignore:::nbclient", "ignore::DeprecationWarning"
)
@pytest.mark.faults
@pytest.mark.skipif(not FULL, reason="make faults runs it: half a minute")
def test_the_notebook_shows_a_plan_a_bar_figures_and_a_picture(type_: Callable[[str], Result], workspace: Path) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(ROOT / "docs/first-model.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        cell.source = _quickly(cell.source)
    plan, run, picture, _ = code
    often = "import warnings\nfrom ft.machine import python_display\npython_display.REDRAWN = 0.001\n"
    run.source = f"{often}warnings.simplefilter('ignore')\n{run.source}"
    shown: list[str] = []

    class Client(nbclient.NotebookClient):
        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            shown.append(msg["content"].get("data", {}).get("text/html", ""))
            return super().process_message(msg, cell, cell_index)

    Client(notebook, timeout=120, resources={"metadata": {"path": str(workspace)}}).execute()
    assert plan.outputs[0].data["text/html"].startswith("<pre>backbone    efficientnet-lite:lite0, 3.4 M parameters")
    assert any(re.search(r"<progress value=\"\d+\" max=\"\d+\"></progress> <code>epoch 1/\d ", html) for html in shown)
    told = "".join(output.get("text", "") for output in run.outputs)
    assert re.search(r"^epoch 1/\d  train loss \d", told, re.MULTILINE)
    assert "\x1b" not in told
    assert [output.data["text/html"] for output in run.outputs if output.output_type == "display_data"] == [""]
    assert run.outputs[-1].data["text/html"].startswith("<pre>best epoch ")
    assert "image/png" in picture.outputs[-1].data


def _quickly(code: str) -> str:
    """The same, with nothing that is tried out or proved, and smaller images where it says no size."""
    backbone = 'backbone="efficientnet-lite:lite0", '
    size = "" if "image_size" in code else "image_size=32, "
    size += "" if "epochs" in code else "epochs=1, "
    code = re.sub(r'ft\.export\("runs/first", (.*?)\)', r'ft.export("tiny/run", \1, trust_code=True)', code)
    return re.sub(r'backbone="[\w:-]+",\s', f'{backbone}{size}cache="off", precision="fp32", ', code).replace(
        '{"backbone":', '{"cache": {"promise": "off"}, "precision": "fp32", "backbone":'
    )


def test_code_for_readers_imports_nothing_of_ft_but_its_front_page_and_ft_testing() -> None:
    shown = {f"{page.name}: {b.name}": b.text for page in PAGES for b in blocks(page) if b.language == "python"}
    examples = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "examples").rglob("*.py")}
    for where, text in {**shown, **examples}.items():
        for node in ast.walk(ast.parse(text)):
            imported = [node.module] if isinstance(node, ast.ImportFrom) else []
            imported += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            deeper = [name for name in imported if re.match(r"ft\.(?!testing$)", name or "")]
            assert deeper == [], where


def test_the_readers_own_tests_pass(workspace: Path) -> None:
    tests = sorted(path.name for path in workspace.glob("test_*.py"))
    options = ["--import-mode=importlib", "-q", "-p", "no:cacheprovider", "-o", "pythonpath=."]
    process = warm_python.start(wheels.TEST, [str(workspace), "", *options, *tests], workspace)
    out, err = process.communicate()
    assert process.returncode == 0, out + err


def test_the_weight_source_of_the_documentation_fetches(workspace: Path, tmp_path: Path) -> None:
    from ft.weights.cache import Cache

    entry = ft.WeightEntry("V1", "tiny.safetensors")
    (tmp_path / entry.file_name).write_bytes((2).to_bytes(8, "little") + b"{}")
    reference = parse_reference(f"{workspace / 'my_weights.py'}:LAB:{tmp_path}")
    source = Plugins(()).get("weights", reference).record
    cache = Cache(tmp_path / "cache", tmp_path / "records")
    assert source.fetch(entry, reference.argument, None, cache) == tmp_path / entry.file_name
    with pytest.raises(ft.FtError, match="is the file server mounted"):
        source.fetch(entry, "/nowhere", None, cache)


@pytest.mark.parametrize("name", ["zipped_data.py", "unpacked_data.py"])
def test_the_data_sources_of_the_documentation_read_an_archive(name: str, workspace: Path, tmp_path: Path) -> None:
    from ft.data.pictures import picture_of
    from ft.data.source_cache import load_samples

    with ZipFile(tmp_path / "photos.zip", "w") as archive:
        for label in ("cat", "dog"):
            archive.writestr(f"{label}/1.jpg", label)
    component = Plugins(()).get("data", parse_reference(f"{workspace / name}:load"))
    samples = list(load_samples(component, str(tmp_path / "photos.zip"), None))
    assert [(sample.label, picture_of(sample).read()) for sample in samples] == [("cat", b"cat"), ("dog", b"dog")]
    with pytest.raises(ft.FtError, match="there is no archive"):
        list(load_samples(component, "no.zip", None))


def test_the_task_of_the_documentation_trains_and_answers_and_goes_on_where_it_may(
    type_: Callable[[str], Result],
) -> None:
    def ft_(command: str) -> Result:
        return CliRunner().invoke(cli, shlex.split(command))

    flags = f"--backbone {TINY}:small --weights none --image-size 16 --workers 0 --device cpu --precision fp32"
    data = "--data ./grades --task ./ordinal.py:ORDINAL --set 'task.order=[0, 1, 2, 3, 4]' --cache off --run-dir runs/o"
    trained = ft_(f"run {flags} {data} --epochs 2")
    assert trained.exit_code == 0, trained.output
    assert "20 % of every grade" in trained.output
    assert re.search(r"best epoch \d of 2, validation: mean distance in grades \d\.\d{3}, accuracy", trained.output)
    assert json.loads(Path("runs/o/model.json").read_text())["outputs"] == 4

    for command in ("predict runs/o grades/3/02.png", "evaluate runs/o ./grades", "run --resume runs/o --epochs 3"):
        refused = ft_(command)
        assert "add --trust-code" in str(refused.exception or refused.output), command

    header, rule, row = ft_("predict runs/o grades/3/02.png --trust-code").stdout.splitlines()
    assert re.split(r"  +", header.strip()) == ["image", "label", *(f"at least {grade}" for grade in "1234")]
    assert [len(part) >= 10 for part in rule.split()[2:]] == [True] * 4
    assert len(row.split()) == 6
    (answer,) = json.loads(ft_("predict runs/o grades/3/02.png --trust-code --json").stdout)
    shares = list(answer["at_least"].values())
    assert (answer["label"], shares) == (str(sum(share > 0.5 for share in shares)), sorted(shares, reverse=True))

    with Path("runs/o/images.csv").open() as table:
        val = {row["path"]: int(row["label"]) for row in csv.DictReader(table) if row["split"] == "val"}
    answers = json.loads(ft_(f"predict runs/o {' '.join(val)} --trust-code --json").stdout)
    off = sum(abs(int(each["label"]) - val[each["path"]]) for each in answers) / len(val)
    assert json.loads(Path("runs/o/report.json").read_text())["val"]["mae"] == pytest.approx(off)
    measured = json.loads(ft_("evaluate runs/o ./grades --split val --trust-code --json").stdout)
    assert measured["mae"] == pytest.approx(off)
    further = ft_("run --resume runs/o --epochs 3 --trust-code")
    assert further.exit_code == 0, further.output
    assert len(Path("runs/o/metrics.jsonl").read_text().splitlines()) == 3


def test_every_config_in_the_documentation_is_one(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(page)):
        if block.language == "yaml":
            file, tree = tmp_path / f"{number}.yaml", yaml.safe_load(block.text)
            swept = SweepConfig.model_validate(tree.pop("sweep", {"over": {"lr": "1..2"}}))
            assert space_of(swept.over)
            file.write_text(yaml.dump(tree) if "\nsweep:" in block.text else block.text)
            if "backbone" in tree:
                assert load_config(file).seed == tree.get("seed", 0)
            else:
                recipe = load_config({"backbone": "x:y", "recipe": str(file)}, plugins=load_plugins()).recipe
                assert recipe is not None
                assert {key.partition(".")[0] for key in recipe.says} == tree.keys()


# The links, the names


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, by GitHub's rule."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        if not path.startswith(("http:", "https:")):
            found = (page.parent / path).resolve() if path else page
            assert found.exists(), target
            assert not anchor or anchor in anchors(found), target


def test_every_path_and_hook_in_the_text_exists(page: Path) -> None:
    packages = {path.name for path in (*ROOT.glob("plugins/*"), *ROOT.glob("examples/*/ft_*"))}
    for code in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")):
        if re.fullmatch(r"(core|plugins|tests|docs|examples)/[\w./-]+", code) and "NAME" not in code:
            assert (ROOT / code).exists(), code
        if re.fullmatch(r"ft_[a-z_]+", code):
            assert code in packages | {kind.hook for kind in KINDS.values()} | set(vars(pytest_plugin)), code


def test_both_readmes_have_the_same_code_and_the_same_table() -> None:
    english, chinese = (blocks(ROOT / name) for name in ("README.md", "README.zh.md"))
    assert [b.language for b in english] == [b.language for b in chinese]
    for ours, theirs in zip(english, chinese, strict=True):
        if ours.language == "tree":  # the second column is prose
            assert _first_column(ours) == _first_column(theirs)
        else:
            assert ours == theirs
    rows = [len(re.findall(r"^\|", prose(ROOT / name), re.MULTILINE)) for name in ("README.md", "README.zh.md")]
    assert rows[0] == rows[1]


def _first_column(block: Block) -> list[str]:
    return [re.split(r"  +", line)[0] for line in block.text.splitlines()]


# Nothing is left out


def options(command: click.Command) -> Iterator[str]:
    seen = (param for param in command.params if isinstance(param, click.Option) and not param.hidden)
    yield from (param.opts[0] for param in seen)
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from options(command.get_command(click.Context(command), name) or click.Command(name))


def test_every_command_and_every_flag_is_documented() -> None:
    text = all_docs()
    used = {command.split()[1] for page in DOCS for block in blocks(page) for command in block.commands()}
    assert set(COMMANDS) <= used
    missing = {flag for flag in options(cli) if not re.search(rf"{re.escape(flag)}\b(?!-)", text)}
    assert missing <= {"--version"}


def built_in() -> list[Component]:
    return [component for component in load_plugins().components() if component.distribution == "ftkit"]


@pytest.mark.parametrize("component", built_in(), ids=lambda c: f"{c.kind.name}:{c.name}")
def test_every_built_in_component_is_documented_with_its_settings(component: Component) -> None:
    text = (ROOT / "docs" / f"{PAGE_OF.get(component.kind.name, f'{component.kind.name}s')}.md").read_text(
        encoding="utf-8"
    )
    for name in (component.name, *settings_class(component).model_fields):
        assert re.search(rf"`{re.escape(name)}[`:]", text), name


@pytest.mark.parametrize(
    "record",
    [
        *(kind.record for kind in KINDS.values()),
        ft.Backbone,
        ft.Stage,
        ft.Preprocessing,
        ft.WeightEntry,
        ft.ModelFacts,
        ft.Sample,
        ft.Remark,
        ft.LabelSpace,
        ft.Figure,
        ft.Table,
        ft.Section,
        ft.Note,
        ft.Pictures,
        ft.Shot,
        ft.Chart,
        ft.Line,
        ft.Matrix,
        ft.Choice,
        ft.Slider,
    ],
    ids=lambda record: record.__name__,
)
def test_every_field_of_every_record_is_documented(record: Any) -> None:
    text = (ROOT / "docs/hooks.md").read_text(encoding="utf-8")
    table = text.partition(f"### `{record.__name__}`\n")[2].partition("|---|---|\n")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == [field.name for field in dataclasses.fields(record)]


def test_every_hook_and_every_variable_of_the_environment_is_documented() -> None:
    hooks = (ROOT / "docs/hooks.md").read_text(encoding="utf-8")
    assert [kind.hook for kind in KINDS.values() if f"`{kind.hook}`" not in hooks] == []
    code = "".join(
        path.read_text(encoding="utf-8") for top in ("core", "plugins") for path in (ROOT / top).rglob("*.py")
    )
    variables = set(re.findall(r"[\"']((?:FT|HF|TORCH|XDG)_[A-Z_]+)[\"']", code))
    assert [name for name in sorted(variables) if name not in all_docs()] == []


def test_every_file_in_a_runs_folder_is_documented(type_: Callable[[str], Result]) -> None:
    text = (ROOT / "docs/runs.md").read_text(encoding="utf-8")
    assert [path.name for path in Path("runs/first").iterdir() if f"`{path.name}`" not in text] == []


def test_the_documentation_builds_into_a_site_without_a_broken_link(tmp_path: Path) -> None:
    pytest.importorskip("zensical")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    assert (tmp_path / "site/index.html").is_file()


def test_every_page_is_in_the_menu_of_the_site() -> None:
    menu = re.findall(r"[\w.-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(menu) == [page.name for page in DOCS]


@pytest.mark.parametrize("name", ["architecture", "configuration", "settings", "testing-plugins"])
def test_what_is_made_from_the_code_is_up_to_date(name: str) -> None:
    written = MADE.search((ROOT / f"docs/{name}.md").read_text(encoding="utf-8"))
    assert written
    assert written[0] == made()[name], "the code has changed: run python tests/test_docs.py"


def made() -> dict[str, str]:
    """The parts of pages that are made from the code, by page."""
    return {
        "architecture": rooms_tables(),
        "configuration": keys_table(),
        "settings": settings_tables(),
        "testing-plugins": checks_table(),
    }


def rooms_tables() -> str:
    """For each room, from the top floor down, its matter, and a row for each of its modules."""
    parts = []
    for room in reversed(ROOMS):
        folder = CORE / room
        if not folder.is_dir():
            parts += [f"**`core/ft/{room}.py`**: {matter(CORE / f'{room}.py')}", ""]
            continue
        modules = sorted(path for path in folder.rglob("*.py") if path != folder / "__init__.py")
        rows = [f"| `{path.relative_to(folder)}` | {matter(path)} |" for path in modules]
        parts += [f"**`core/ft/{room}/`**: {matter(folder / '__init__.py')}", ""]
        parts += ["| file | its one matter |", "|---|---|", *rows, ""] if rows else []
    return "\n".join(parts)


def matter(path: Path) -> str:
    """The first paragraph of a module's docstring, as one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def checks_table() -> str:
    """A row for each check of the conformance kit: of which kind, its name, what it demands."""
    kinds = {"every kind": COMMON, **{kind: checks[len(COMMON) :] for kind, checks in CHECKS.items()}}
    rows = [
        f"| {kind} | `{check.__name__}` | {(check.__doc__ or '').strip().splitlines()[0]} |"
        for kind, checks in kinds.items()
        for check in checks
    ]
    return "\n".join(["| component | check | demands |", "|---|---|---|", *rows, ""])


def settings_tables() -> str:
    """For each kind of component a row for each setting of those that come with ft, and who has none."""
    parts = []
    for kind in KINDS.values():
        schemas = {c.name: settings_class(c).model_json_schema() for c in built_in() if c.kind is kind}
        rows = [
            f"| `{name}` | `{key}` | {_type(about)} | `{json.dumps(about['default'])}` | {_prose(about)} |"
            for name, schema in sorted(schemas.items())
            for key, about in schema.get("properties", {}).items()
        ]
        none = ", ".join(f"`{name}`" for name, schema in sorted(schemas.items()) if not schema.get("properties"))
        header = ["| component | setting | type | default | meaning |", "|---|---|---|---|---|"]
        table = [*header, *rows, ""] if rows else []
        parts += [f"## {kind.noun.capitalize()}", "", *table, *([f"Without settings: {none}.", ""] if none else [])]
    return "\n".join(parts)


def _prose(about: dict[str, Any]) -> str:
    return html.escape(about.get("description", ""), quote=False).replace("|", "\\|")


def keys_table() -> str:
    """A row for each key of the config: key, flag, type, default, meaning."""
    flags = {key: (flag.partition("/")[0], text) for flag, key, text, _ in FLAGS}
    rows = ["| key | flag | type | default | meaning |", "|---|---|---|---|---|"]
    for key, about in _keys(Config.model_json_schema()):
        flag, text = flags.get(key, ("", ""))
        default = "required" if "default" not in about else "" if about["default"] is None else f"`{_plain(about)}`"
        meaning = text or about.get("description", "")
        cells = (f"`{key}`", f"`{flag}`" if flag else "", _type(about), default, html.escape(meaning, quote=False))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _keys(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    def walk(section: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, about in section["properties"].items():
            key, target = f"{prefix}{name}", about.get("$ref") or about.get("items", {}).get("$ref", "")
            inner = schema["$defs"].get(target.rpartition("/")[2], {"properties": {"use": {}}})
            default = {"default": about["default"]} if "default" in about and "use" in inner["properties"] else {}
            if "use" in inner["properties"] and not target:
                yield key, about
                continue
            is_list = about.get("type") == "array"
            if "use" in inner["properties"]:  # a component, and what ft itself reads beside its reference
                use = inner["properties"].pop("use") if len(inner["properties"]) > 1 else {}
                many = "list of components" if is_list else "component"
                yield (
                    key,
                    {"description": about.get("description") or use.get("description", ""), **default, "type": many},
                )
                if use:
                    yield from walk(inner, f"{key}.")
            else:
                yield from walk(inner, f"{key}[]." if is_list else f"{key}.")

    yield from walk(schema, "")


_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _type(about: dict[str, Any]) -> str:
    variants = [v for v in about.get("anyOf", [about]) if v.get("type") != "null"]
    names = []
    for v in variants:
        values = v.get("enum") or ([v["const"]] if "const" in v else [])
        name = f"list of {v['items']['type']}s" if v.get("items", {}).get("type") else v.get("type", "any")
        limits = [f"{sign} {v[rule]}" for rule, sign in _LIMITS.items() if rule in v]
        names.append(", ".join([f"`{value}`" for value in values] or [name, *limits]))
    return " or ".join(names)


def _plain(about: dict[str, Any]) -> str:
    return about["default"] if isinstance(about["default"], str) else json.dumps(about["default"])


if __name__ == "__main__":
    for name, text in made().items():
        file = ROOT / "docs" / f"{name}.md"
        file.write_text(MADE.sub(lambda _, text=text: text, file.read_text(encoding="utf-8")), encoding="utf-8")
