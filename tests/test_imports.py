"""Rules for imports: clickseg does not import Holoscan, and the CPU path imports no torch and no MONAI."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

from tests.helpers import runs

REPOSITORY = Path(__file__).parents[1]
RUN_AND_PRINT_MODULES = """
import json, sys
from clickseg.cli.main import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted(name for name in sys.modules if "." not in name)]))
"""


def find_sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]


def imported_modules(path: Path) -> set[str]:
    """Returns the modules that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_the_cpu_path_imports_no_torch_and_no_monai(tmp_path: Path) -> None:
    study = runs.write_input(tmp_path / "in", runs.click(9, 11, 13))
    models = runs.write_model(tmp_path / "models")
    arguments = ["segment", study, "-o", tmp_path / "out", "-m", models, "--statistics", "--device", "cpu"]

    ended = runs.run_process(["python", "-c", RUN_AND_PRINT_MODULES, *arguments])

    code, modules = json.loads(ended.stdout.splitlines()[-1])
    assert code == 0
    assert {"torch", "monai", "holoscan", "cupy"} & set(modules) == set()
    assert {"numba", "scipy", "SimpleITK"} & set(
        modules
    ) == set()  # only for larger series, other units and other models
    assert {"openvino", "highdicom"} <= set(modules)


def test_clickseg_does_not_import_the_sdk_and_holoscan() -> None:
    for path in find_sources("clickseg"):
        names = imported_modules(path)
        assert not {name for name in names if name.startswith(("monai.deploy", "holoscan."))}, path
        assert path.name == "monai_deploy.py" or not any(name.startswith("holoscan") for name in names), path


def test_no_module_imports_a_private_name_of_another() -> None:
    for path in find_sources("app", "clickseg", "operators"):
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        own_nodes = [node for node in nodes if str(node.module).partition(".")[0] in ("app", "clickseg", "operators")]
        names = {alias.name for node in own_nodes for alias in node.names}
        assert not {name for name in names if name.startswith("_") and not name.endswith("__")}, path


def test_operators_and_application_import_no_library_for_pixels() -> None:
    allowed = {"app", "clickseg", "monai", "operators"} | set(sys.stdlib_module_names)
    for path in find_sources("operators", "app"):
        assert {name.partition(".")[0] for name in imported_modules(path)} <= allowed, path


def test_no_test_module_imports_another() -> None:
    imports = {
        path: {name for name in imported_modules(path) if name.startswith("tests")} for path in find_sources("tests")
    }

    assert len(imports) > 100
    for path, names in imports.items():
        assert {name for name in names if not name.startswith("tests.helpers")} == set(), path


def test_no_module_has_the_name_of_a_module_of_the_standard_library_or_a_dependency() -> None:
    """A MAP adds all folders to PYTHONPATH, and ``python app`` adds ``app``, so such a module would hide the other."""
    dependencies = {"cupy", "highdicom", "monai", "numpy", "openvino", "pydicom", "scipy", "SimpleITK", "torch"}
    dependencies |= {"filelock", "psutil"}
    files = find_sources("app", "operators", "clickseg")
    names = {path.stem for path in files} | {path.parent.name for path in files}

    assert names & (dependencies | set(sys.stdlib_module_names)) == set()


PRINT_VERSION_AND_MODULES = """
import sys
from clickseg.cli.main import main
try:
    main(["--version"])
except SystemExit:
    print([name for name in ("pydicom", "highdicom", "openvino", "scipy", "filelock", "psutil") if name in sys.modules])
"""


def test_the_command_line_parses_arguments_before_it_imports_libraries() -> None:
    assert runs.run_process(["python", "-c", PRINT_VERSION_AND_MODULES]).stdout == "clickseg 0.1.0\n[]\n"


COUNT_THREADS = """
import os
import app.main
print(len(os.listdir("/proc/self/task")))
"""


def test_no_library_starts_threads_before_the_application_blocks_signals() -> None:
    """A thread that does not block signals receives them: with Holoscan, the run would hang or end without error."""
    assert runs.run_process(["python", "-c", COUNT_THREADS], cwd=REPOSITORY).stdout == "1\n"
