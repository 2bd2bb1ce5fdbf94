"""The rules of who may import whom, and of what may not be imported at all."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from rooms import CORE, ROOMS

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(path for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists())


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever the import stands in it, also for type checking alone."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (
                f"{node.module}.{alias.name}" if node.module == "ft" else str(node.module) for alias in node.names
            )


@cache
def core_files() -> list[Path]:
    return sorted(CORE.rglob("*.py"))


def floor_of(path: Path) -> int:
    return ROOMS.index(path.relative_to(CORE).parts[0].removesuffix(".py"))


def test_the_core_imports_downwards_only() -> None:
    for path in core_files():
        for parts in (name.split(".") for name in imports(path) if path != CORE / "__init__.py"):
            if parts[0] == "ft" and len(parts) > 1 and not parts[1].startswith("__"):
                above = floor_of(CORE / parts[1]) > floor_of(path)
                assert not above, f"{path} imports {'.'.join(parts)}, which is above it"


def core_graph() -> dict[str, set[str]]:
    """Which modules of the core each of them imports, also for type checking alone."""
    names = {path: ".".join(("ft", *path.relative_to(CORE).with_suffix("").parts)) for path in core_files()}
    modules = {name.removesuffix(".__init__"): path for path, name in names.items()}
    return {
        module: {name if name in modules else name.rpartition(".")[0] for name in imports(path)} & modules.keys()
        for module, path in modules.items()
    }


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """The modules of a circle of imports, the first of them once more at the end; [] where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_imports_of_the_core_make_no_circle() -> None:
    graph = core_graph()
    assert "ft.machine.signals" in graph["ft.machine.display"]
    assert "ft.run.report" in graph["ft.tracking.events"], "an import for type checking counts"
    assert not circle(graph)


def test_a_circle_is_noticed() -> None:
    graph = core_graph()
    graph["ft.text.names"].add("ft.finetune")
    assert {"ft.text.names", "ft.finetune"} <= set(circle(graph))


def test_a_module_imports_nothing_that_is_private_to_another() -> None:
    for path in core_files():
        nodes = (node for node in ast.walk(tree(path)) if isinstance(node, ast.ImportFrom))
        own = (node for node in nodes if str(node.module).split(".")[0] == "ft")
        names = [a.name for node in own for a in node.names if a.name.startswith("_") and not a.name.endswith("__")]
        assert not names, path


def test_every_room_has_a_floor_and_the_tests_are_in_its_like() -> None:
    rooms = {path.name.removesuffix(".py") for path in CORE.iterdir() if not path.name.startswith("__")}
    assert rooms - {"py.typed"} == {room for room in ROOMS if not room.startswith("__")}
    assert {path.name for path in (ROOT / "tests" / "core").iterdir() if path.is_dir()} - {"__pycache__"} <= rooms


def test_the_core_never_names_a_plugin_package() -> None:
    named = re.compile(rf"\b({'|'.join(plugin.name for plugin in PLUGINS)})\b")
    assert not [path for path in core_files() if named.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_imports_only_what_ft_offers(plugin: Path) -> None:
    import ft

    for path in plugin.rglob("*.py"):
        for name in imports(path):
            parts = name.split(".")
            assert parts[0] not in {p.name for p in PLUGINS} - {plugin.name}, f"{path} imports {name}"
            assert parts[0] != "ft" or len(parts) == 1 or (len(parts) == 2 and hasattr(ft, parts[1])), f"{path}: {name}"


def loaded_by(code: str) -> set[str]:
    code = f"import sys\n{code}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def cli_run(*args: str) -> str:
    return f"from ft.cli import cli\ntry:\n    cli.main({list(args)!r})\nexcept SystemExit:\n    pass"


HEAVY = {"torch", "torchvision", "numpy", "PIL"}


@pytest.mark.parametrize(
    ("code", "banned"),
    [
        ("import ft", HEAVY | {"pydantic", "rich", "click"}),
        ("import ft\nft.Settings", HEAVY),
        ("import ft\ndir(ft)", HEAVY | {"pydantic", "rich", "click"}),
        ("import ft.testing", HEAVY | {"pydantic"}),
        (cli_run("--help"), HEAVY | {"pydantic", "rich"}),
        (cli_run("plugins"), HEAVY | {"pydantic"}),
        (cli_run("models", "resnet"), HEAVY),
        (cli_run("describe", "freeze:regex"), HEAVY),
        (cli_run("run", "--help"), HEAVY),
        (cli_run("sweep", "--help"), HEAVY | {"optuna"}),
        (cli_run("recipes", "list"), HEAVY),
        (cli_run("recipes", "show", "lp-ft"), HEAVY),
    ],
    ids=[
        *(
            "ft",
            "Settings",
            "dir",
            "plugins",
            "--help",
            "ft plugins",
            "ft models",
            "ft describe",
            "run --help",
            "sweep --help",
        ),
        *("recipes list", "recipes show"),
    ],
)
def test_looking_around_loads_no_torch(code: str, banned: set[str]) -> None:
    assert not loaded_by(code) & banned


MOST_PARAMETERS = 6
"""Beyond `self` or `cls`, and what `*` and `**` gather. What needs more takes a record, whose fields do not count."""


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[str]:
    arguments = function.args
    named = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return named[named[:1] in (["self"], ["cls"]) :]


def functions(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Every function of a file, those within others too, and the names of its parameters."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield f"{path.name}:{node.lineno} {getattr(node, 'name', 'lambda')}", parameters(node)


def test_no_function_takes_more_than_six_parameters() -> None:
    files = [*core_files(), *(path for plugin in PLUGINS for path in plugin.rglob("*.py"))]
    assert not [where for path in files for where, names in functions(path) if len(names) > MOST_PARAMETERS], (
        "make a record of what belongs together"
    )


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("def f(a, /, b, *, c): ...", 3),
        ("async def f(a, *b, c, **d): ...", 2),
        ("def f(self, a): ...", 1),
        ("lambda: 0", 0),
    ],
)
def test_parameters_of_every_form_are_counted(code: str, number: int, tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text(code)
    assert [len(names) for _, names in functions(tmp_path / "file.py")] == [number]


def test_nothing_reads_a_pickle_that_may_run_code() -> None:
    for path in [*core_files(), *(path for plugin in PLUGINS for path in plugin.rglob("*.py"))]:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"torch.load", "pickle.load", "pickle.loads"}:
                safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
                assert safe, f"{path}:{node.lineno} may run code from a file"


def test_tests_fork_in_one_place() -> None:
    """Where torch's pool of threads is made anew: see tests/forked.py."""
    allowed = {"forked.py", "warm_python.py", Path(__file__).name}
    files = [path for path in Path(__file__).parent.rglob("*.py") if path.name not in allowed]
    assert not [str(path) for path in files if "os.fork(" in path.read_text(encoding="utf-8")]


def test_a_file_has_one_responsibility_and_fits_a_few_screens() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in core_files()}
    assert not {path: count for path, count in lines.items() if count > 300}


PRINTING = {"terminal.py", "display.py", "python_display.py", "progress.py", "layout.py", "printing.py"}
"""The door: what these print is as `visible` or `told` makes it."""


def test_everything_is_printed_through_one_door() -> None:
    files = [*core_files(), *(path for p in PLUGINS for path in p.rglob("*.py"))]
    past = re.compile(r"print|rich\.print|(.*\.)?(echo|secho|Console|out\.print|err\.print)|sys\.std\w+\.write")
    for path in (each for each in files if each.name not in PRINTING):
        calls = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))
        found = [f"{path}:{node.lineno}" for node in calls if past.fullmatch(ast.unparse(node.func))]
        assert not found, "prints past ft.machine.display.Display and ft.cli.printing"


def test_the_door_reads_no_markup() -> None:
    for path in (path for path in core_files() if path.name in PRINTING):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"rich\.markup|from_markup|highlight=True|markup=True|\[/?(bold|dim|red|yellow)\]", text)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                ("out.print", "err.print", "console.print")
            ):
                assert isinstance(node.args[0], ast.Call), f"{path}:{node.lineno} prints a text that rich would read"


def private_names(source: str) -> Iterator[str]:
    """Every name with an underscore in front that a file imports, reads or replaces, and that is not its own."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            names = [*str(node.module).split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls"):
            names = [node.attr]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("setattr", "delattr", "getattr"):
            said = (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))
            names = [part for text in said for part in text.split(".")]
        yield from (
            name
            for name in names
            if name.startswith("_") and not name.endswith("__") and name != "_exit"  # os._exit is documented
        )


def test_tests_use_and_replace_nothing_that_is_private_to_another_module() -> None:
    paths = [*(ROOT / "tests").rglob("*.py"), *ROOT.glob("examples/*/tests/**/*.py")]
    found = {str(path.relative_to(ROOT)): list(private_names(path.read_text(encoding="utf-8"))) for path in paths}
    assert not {path: names for path, names in found.items() if names}


@pytest.mark.parametrize(
    "line",
    [
        "from ft.data.transforms import _read",
        "from torchvision.transforms._presets import ImageClassification",
        "import ft._door",
        "ft.data.transforms._read()",
        'monkeypatch.setattr("ft.data.transforms._read", None)',
        'monkeypatch.setattr(images, "_read", None)',
        'setattr(images, "_read", None)',
        "writer._file = None",
    ],
)
def test_what_is_private_is_noticed(line: str) -> None:
    assert list(private_names(line))
