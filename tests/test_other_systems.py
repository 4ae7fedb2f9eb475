"""ClickSeg does not need features that only Linux has. Only a few modules depend on the system."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import other_system, runs

SYSTEM_MODULES = {"file_locks.py", "interruption.py", "machine.py", "owned_files.py"}
"""The modules that may use features of a system."""

SYSTEM_IMPORTS = {*other_system.MODULES, "filelock", "msvcrt", "posix", "psutil", "signal", "winreg"}
COVERAGE_VARIABLES = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
"""Removed for the process with an audit hook: before Python 3.12, coverage cannot trace a thread while a hook runs."""


def read_results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".dcm", ".png")}


@pytest.fixture
def commands(tmp_path: Path) -> list[list[str]]:
    """Returns the commands for a run, a new session, and a click added to the session."""
    study = runs.write_input(tmp_path / "in", runs.click(9, 11, 13), runs.click(3, 3, 4))
    models = runs.write_model(tmp_path / "models")
    x, y, z = runs.click(5, 6, 7).position_mm
    session = ["--session", str(tmp_path / "session")]
    return [
        [command, str(study), "-o", str(tmp_path / output), "-m", str(models), *options]
        for command, output, options in (
            ("segment", "run", []),
            ("segment", "opened", session),
            ("refine", "refined", [*session, "--add", f"{x},{y},{z}", "--label", "hook"]),
        )
    ]


def test_runs_and_sessions_give_the_same_bytes_without_features_of_linux(
    tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {}
    for command in commands:
        process = runs.run_clickseg(*command)
        assert process.returncode == 0, process.stderr
        expected[command[3]] = read_results(Path(command[3]))
        shutil.rmtree(command[3])
    shutil.rmtree(tmp_path / "session")
    for name in COVERAGE_VARIABLES:
        monkeypatch.delenv(name, raising=False)

    process = runs.run_process(
        ["python", "-m", "tests.helpers.other_system", json.dumps(commands)], cwd=runs.REPOSITORY
    )

    assert process.returncode == 0, process.stderr
    assert {output: read_results(Path(output)) for output in expected} == expected
    for output, files in expected.items():
        assert sorted(Path(name).suffix for name in files) == [".dcm", ".dcm", ".png"]  # SEG, SR and preview
        assert not list(Path(output).glob(".clickseg-*"))
        assert json.loads(Path(output, "report.json").read_text())["peak_memory_mb"] == other_system.PEAK_BYTES >> 20


def source_files() -> list[Path]:
    files = [path for folder in ("app", "clickseg", "operators") for path in (runs.REPOSITORY / folder).rglob("*.py")]
    return sorted(path for path in files if path.name not in SYSTEM_MODULES)


def system_names(tree: ast.AST) -> Iterator[str]:
    """Yields the names in a module that only some systems have."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & SYSTEM_IMPORTS
        elif isinstance(node, ast.ImportFrom) and node.module in {*SYSTEM_IMPORTS, "os"}:
            yield node.module
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            yield from {node.attr} & other_system.OS_NAMES
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (part for part in ("/proc/", "/sys/") if part in f"/{node.value}/")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import fcntl", ["fcntl"]),
        ("def f():\n    import resource, json", ["resource"]),
        ("from signal import SIGHUP", ["signal"]),
        ("import os\nos.sched_getaffinity(0)", ["sched_getaffinity"]),
        ("Path('/proc/self/statm').read_text()", ["/proc/"]),
        ("(root / 'proc/meminfo')", ["/proc/"]),
        ("import os\nos.replace(a, b)\nprint('processor', '/system')", []),
    ],
)
def test_names_that_depend_on_the_system_are_found(text: str, names: list[str]) -> None:
    assert list(system_names(ast.parse(text))) == names


def test_only_these_modules_depend_on_the_system() -> None:
    found = {str(path): names for path in source_files() if (names := list(system_names(ast.parse(path.read_text()))))}

    assert len(source_files()) > 100
    assert found == {}
