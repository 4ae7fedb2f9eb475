"""What is imported when: the domain knows no Holoscan, and the CPU path neither torch nor MONAI."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

from tests.helpers import runs

REPOSITORY = Path(__file__).parents[1]
SEGMENT = """
import json, sys
from clickseg.cli.main import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted(name for name in sys.modules if "." not in name)]))
"""


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """The modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_the_cpu_path_imports_neither_torch_nor_monai(tmp_path: Path) -> None:
    study = runs.write_input(tmp_path / "in", runs.click(9, 11, 13))
    models = runs.write_model(tmp_path / "models")
    arguments = ["segment", study, "-o", tmp_path / "out", "-m", models, "--statistics", "--device", "cpu"]

    ended = runs.process(["python", "-c", SEGMENT, *arguments])

    code, modules = json.loads(ended.stdout.splitlines()[-1])
    assert code == 0
    assert {"torch", "monai", "holoscan", "cupy"} & set(modules) == set()
    assert {"numba", "scipy", "SimpleITK"} & set(modules) == set()  # for larger series, other units and other models
    assert {"openvino", "highdicom"} <= set(modules)


def test_the_domain_never_imports_the_sdk_or_holoscan() -> None:
    for path in sources("clickseg"):
        names = imported(path)
        assert not {name for name in names if name.startswith(("monai.deploy", "holoscan."))}, path
        assert path.name == "monai_deploy.py" or not any(name.startswith("holoscan") for name in names), path


def test_no_module_imports_a_private_name_of_another() -> None:
    for path in sources("app", "clickseg", "operators"):
        froms = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        own = [node for node in froms if str(node.module).partition(".")[0] in ("app", "clickseg", "operators")]
        names = {alias.name for node in own for alias in node.names}
        assert not {name for name in names if name.startswith("_") and not name.endswith("__")}, path


def test_operators_and_application_know_no_pixel() -> None:
    known = {"app", "clickseg", "monai", "operators"} | set(sys.stdlib_module_names)
    for path in sources("operators", "app"):
        assert {name.partition(".")[0] for name in imported(path)} <= known, path


def test_no_test_imports_another_test() -> None:
    found = {path: {name for name in imported(path) if name.startswith("tests")} for path in sources("tests")}

    assert len(found) > 100
    for path, names in found.items():
        assert {name for name in names if not name.startswith("tests.helpers")} == set(), path


def test_no_module_hides_one_of_the_standard_library_or_of_a_dependency() -> None:
    """A MAP puts every folder on PYTHONPATH, and ``python app`` starts there."""
    dependencies = {"cupy", "highdicom", "monai", "numpy", "openvino", "pydicom", "scipy", "SimpleITK", "torch"}
    dependencies |= {"filelock", "psutil"}
    files = sources("app", "operators", "clickseg")
    names = {path.stem for path in files} | {path.parent.name for path in files}

    assert names & (dependencies | set(sys.stdlib_module_names)) == set()


ANSWER = """
import sys
from clickseg.cli.main import main
try:
    main(["--version"])
except SystemExit:
    print([name for name in ("pydicom", "highdicom", "openvino", "scipy", "filelock", "psutil") if name in sys.modules])
"""


def test_the_command_line_answers_before_it_imports_the_libraries() -> None:
    assert runs.process(["python", "-c", ANSWER]).stdout == "clickseg 0.1.0\n[]\n"


THREADS = """
import os
import app.main
print(len(os.listdir("/proc/self/task")))
"""


def test_no_library_starts_threads_before_the_application_blocks_the_ending_signals() -> None:
    """A thread that does not block them takes them, in Holoscan's way: the run would hang, or end without a word."""
    assert runs.process(["python", "-c", THREADS], cwd=REPOSITORY).stdout == "1\n"
