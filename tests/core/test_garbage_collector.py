"""Only the entry points of processes change the settings of the garbage collector."""

from __future__ import annotations

import ast
from pathlib import Path

import clickseg
from tests.helpers import runs

ROOT = Path(clickseg.__file__).parents[1]

PROGRAM = """
import atexit, gc, sys
before = gc.get_threshold()
atexit.register(lambda: print(gc.isenabled(), gc.get_threshold() > before, gc.get_freeze_count() > 10000))  # runs last
from clickseg.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_rarely_collects_all_objects_and_not_at_its_end(tmp_path: Path) -> None:
    study, models = runs.write_input(tmp_path / "in"), runs.write_model(tmp_path / "models")

    process = runs.run_process(["python", "-c", PROGRAM, "segment", study, "-o", tmp_path / "out", "-m", models])

    assert process.returncode == 0
    assert process.stdout.splitlines()[-1] == "True True True"


def test_only_the_entry_points_import_the_settings() -> None:
    assert modules_that_import("gc") == {"clickseg.core.garbage_collector"}
    assert modules_that_import("clickseg.core.garbage_collector") == {"app.main", "clickseg.cli.main"}


def modules_that_import(name: str) -> set[str]:
    """Returns the modules of ClickSeg that import a module."""
    paths = [path for folder in ("app", "clickseg", "operators") for path in (ROOT / folder).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths if name in imported_modules(path)}


def imported_modules(path: Path) -> set[str]:
    """Returns the names of all modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
