"""The garbage collector is tuned by the entry point of a process; the library leaves it as it is."""

from __future__ import annotations

import ast
from pathlib import Path

import clickseg
from tests.helpers import runs

ROOT = Path(clickseg.__file__).parents[1]

END = """
import atexit, gc, sys
before = gc.get_threshold()
atexit.register(lambda: print(gc.isenabled(), gc.get_threshold() > before, gc.get_freeze_count() > 10000))  # runs last
from clickseg.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_looks_at_all_objects_seldom_and_not_when_it_ends(tmp_path: Path) -> None:
    study, models = runs.write_input(tmp_path / "in"), runs.write_model(tmp_path / "models")

    ended = runs.process(["python", "-c", END, "segment", study, "-o", tmp_path / "out", "-m", models])

    assert ended.returncode == 0
    assert ended.stdout.splitlines()[-1] == "True True True"


def test_only_the_entry_points_tune_it() -> None:
    assert importers("gc") == {"clickseg.core.garbage_collector"}
    assert importers("clickseg.core.garbage_collector") == {"app.main", "clickseg.cli.main"}


def importers(name: str) -> set[str]:
    """The modules of the product that import a module."""
    paths = [path for folder in ("app", "clickseg", "operators") for path in (ROOT / folder).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths if name in imported(path)}


def imported(path: Path) -> set[str]:
    """The names of all modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {each.name for node in nodes if isinstance(node, ast.Import) for each in node.names}
    return plain | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
