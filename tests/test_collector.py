"""The garbage collector rests where it would find nothing, and is as it was afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from clickseg.collector import paused_collector
from tests import runs


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    yield
    gc.enable()


def test_it_is_paused_and_then_goes_on() -> None:
    with paused_collector():
        assert not gc.isenabled()
        with paused_collector():
            assert not gc.isenabled()
        assert not gc.isenabled()

    assert gc.isenabled()


def test_it_goes_on_after_an_error() -> None:
    with pytest.raises(ValueError, match="of this test"), paused_collector():
        raise ValueError("of this test")

    assert gc.isenabled()


def test_one_that_was_switched_off_stays_so() -> None:
    gc.disable()

    with paused_collector():
        pass

    assert not gc.isenabled()


END = """
import atexit, gc, sys
atexit.register(lambda: print(gc.get_freeze_count() > 10000))  # runs after what is registered later
from clickseg.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_ends_without_a_last_look_at_all_objects(tmp_path: Path) -> None:
    study, models = runs.write_input(tmp_path / "in"), runs.write_model(tmp_path / "models")

    ended = runs.process(["python", "-c", END, "segment", study, "-o", tmp_path / "out", "-m", models])

    assert ended.returncode == 0
    assert ended.stdout.splitlines()[-1] == "True"
