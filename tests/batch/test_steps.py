"""A series goes from step to step, and what befalls it is its own error."""

from __future__ import annotations

from clickseg.batch.steps import Outcome, run_step
from clickseg.core.errors import ClickSegError, InputError
from clickseg.dicom.series import Candidate

SERIES = Candidate(())


def test_each_step_is_given_the_value_of_the_last_and_is_timed() -> None:
    first = run_step(Outcome(SERIES, 3, {}), "double", lambda value: 2 * value)
    second = run_step(first, "show", str)

    assert (second.candidate, second.value, list(second.seconds)) == (SERIES, "6", ["double", "show"])
    assert all(seconds >= 0 for seconds in second.seconds.values())


def test_an_error_of_a_step_is_its_value_and_no_further_step_is_run() -> None:
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
