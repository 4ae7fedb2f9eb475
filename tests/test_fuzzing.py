"""A short run of the fuzzing in docs/developers/robustness.md, in processes of its own because it may crash them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.fuzzing import TARGET_NAMES, apply_limits, make_targets, run_input

ROOT = Path(__file__).parents[1]

ENDLESS_TARGET = """
import contextlib, time
from clickseg.dicom.conversion import READ_ERRORS
from tests.helpers.fuzzing import Target, apply_limits, run_input

def read_endlessly(_):
    with contextlib.suppress(*READ_ERRORS):
        time.sleep(20)

with apply_limits():
    print(run_input(Target({}, read_endlessly), "a.json", b"", seconds=1))
"""


@pytest.mark.slow
@pytest.mark.parametrize("target_name", TARGET_NAMES)
def test_mutated_inputs_are_used_or_rejected(target_name: str) -> None:
    process = run_python("-m", "tests.helpers.fuzzing", "--count", "120", "--seed", "20261120", "--only", target_name)

    assert process.returncode == 0, process.stdout + process.stderr
    assert f"{target_name:14} rejected" in process.stdout


def test_an_input_that_takes_too_long_fails() -> None:
    process = run_python("-c", ENDLESS_TARGET)

    assert (process.stdout, process.returncode) == ("more than 1 s\n", 0), process.stderr


@pytest.mark.parametrize("target_name", TARGET_NAMES)
@pytest.mark.filterwarnings("ignore")
def test_the_seeds_are_used(tmp_path: Path, target_name: str) -> None:
    target = make_targets(tmp_path)[target_name]

    with apply_limits():
        outcomes = {name: run_input(target, name, content) for name, content in target.seeds.items()}

    assert outcomes == dict.fromkeys(target.seeds, "used")


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600)
