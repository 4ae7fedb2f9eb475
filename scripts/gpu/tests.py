"""Runs the tests that need a GPU."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from scripts.gpu.results import Row, StageOptions, write_rows

RESULT = "tests.json"

_SETTINGS = Path(__file__).with_name("pytest.ini")


class _OutcomeCounter:
    """Counts the outcomes of tests, and collects the names of those that failed."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Counts a test once: when it has run, or if its preparation failed or was skipped."""
        if report.when == "call" or not report.passed:
            self.outcomes[report.outcome] += 1
            if report.failed:
                self.failed.append(report.nodeid)

    def rows(self) -> list[Row]:
        """Returns one row with the counts, and one for each failed test."""
        counts = {outcome: self.outcomes[outcome] for outcome in ("passed", "failed", "skipped")}
        return [{"tests": "tests/gpu", **counts}, *({"failed test": name} for name in self.failed)]


def run(options: StageOptions) -> None:
    """Runs the tests, and writes how many passed; the log contains the messages of failed tests.

    Raises:
        SystemExit: A test failed, or none passed.
    """
    os.environ["CLICKSEG_TEST_CUDA"] = "0" if options.dry else "1"
    counter = _OutcomeCounter()
    code = pytest.main(["-c", str(_SETTINGS), "--rootdir", ".", "-q", "-ra", "tests/gpu"], plugins=[counter])
    write_rows(options.output / RESULT, counter.rows())
    if code or not counter.outcomes["passed"]:
        raise SystemExit(int(code) or 1)
