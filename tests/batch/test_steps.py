"""A series passes from step to step; an error is that of the series."""

from __future__ import annotations

from clickseg.batch.steps import Outcome, run_step
from clickseg.core.errors import ClickSegError, InputError
from clickseg.dicom.series_files import SeriesFiles

SERIES = SeriesFiles(())


def test_each_step_receives_the_value_of_the_previous_one_and_is_timed() -> None:
    first = run_step(Outcome(SERIES, 3, {}), "double", lambda value: 2 * value)
    second = run_step(first, "show", str)

    assert (second.series_files, second.value, list(second.seconds)) == (SERIES, "6", ["double", "show"])
    assert all(seconds >= 0 for seconds in second.seconds.values())


def test_an_error_of_a_step_becomes_the_value_and_stops_further_steps() -> None:
    error, ran = InputError("this series"), []

    def fail(_: int) -> int:
        raise error

    failed = run_step(Outcome(SERIES, 3, {}), "fail", fail)
    after = run_step(failed, "never", ran.append)

    assert (failed.value, after.value) == (error, error)
    assert (ran, list(after.seconds)) == ([], ["fail"])


def test_a_bug_in_a_step_is_an_error_of_the_series() -> None:
    failed = run_step(Outcome(SERIES, 0, {}), "divide", lambda value: 1 // value)

    assert type(failed.value) is ClickSegError
    assert "ZeroDivisionError" in str(failed.value)
