"""A little of the fuzzing that was done at length (docs/robustness.md), in processes that it may take down."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.fuzzing import KINDS, feed, limits, targets

ROOT = Path(__file__).parents[1]

ENDLESS = """
import contextlib, time
from clickseg.dicom.part10 import READ_ERRORS
from tests.helpers.fuzzing import Target, feed, limits

def endless(_):
    with contextlib.suppress(*READ_ERRORS):
        time.sleep(20)

with limits():
    print(feed(Target({}, endless), "a.json", b"", seconds=1))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_mutated_input_is_read_or_refused(kind: str) -> None:
    ended = python("-m", "tests.helpers.fuzzing", "--count", "120", "--seed", "20261120", "--only", kind)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{kind:14} refused" in ended.stdout


def test_an_input_that_takes_too_long_breaks_the_rule() -> None:
    ended = python("-c", ENDLESS)

    assert (ended.stdout, ended.returncode) == ("more than 1 s\n", 0), ended.stderr


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_what_is_mutated_is_read_as_it_was(tmp_path: Path, kind: str) -> None:
    target = targets(tmp_path)[kind]

    with limits():
        outcomes = {name: feed(target, name, content) for name, content in target.seeds.items()}

    assert outcomes == dict.fromkeys(target.seeds, "read")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600)
