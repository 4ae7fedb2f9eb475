"""A little of the fuzzing that was done at length: docs/robustness.md."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

import pytest

from clickseg.dicom.part10 import READ_ERRORS
from tests.fuzzing import SECONDS, Target, feed, limits, mutate, targets

INPUTS = 60


@pytest.mark.parametrize("kind", ["DICOM image", "click file", "earlier report", "model package"])
@pytest.mark.filterwarnings("ignore")
def test_mutated_input_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    target, rng = targets(tmp_path)[kind], random.Random(20261120)

    outcomes = {
        (name, number): feed(target, name, mutate(target.seeds[name], rng))
        for name in target.seeds
        for number in range(INPUTS // 3)
    }

    assert {key: each for key, each in outcomes.items() if each not in ("read", "refused")} == {}


def test_an_input_that_takes_too_long_breaks_the_rule(tmp_path: Path) -> None:
    def endless(_: Path) -> None:
        with contextlib.suppress(*READ_ERRORS):
            time.sleep(SECONDS + 5)

    with limits():
        assert feed(Target({}, endless), "a.json", b"") == f"TooSlow: more than {SECONDS} s"


@pytest.mark.parametrize("kind", ["DICOM image", "click file", "earlier report", "model package"])
@pytest.mark.filterwarnings("ignore")
def test_what_is_mutated_is_read_as_it_was(tmp_path: Path, kind: str) -> None:
    target = targets(tmp_path)[kind]

    assert {name: feed(target, name, content) for name, content in target.seeds.items()} == dict.fromkeys(
        target.seeds, "read"
    )
