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
    """Counts the outcomes of tests, and writes them with the names of those that failed, after each test."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.outcomes: Counter[str] = Counter()
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Counts a test once: when it has run, or if its preparation failed or was skipped."""
        if report.when == "call" or not report.passed:
            self.outcomes[report.outcome] += 1
            if report.failed:
                self.failed.append(report.nodeid)
            self.write()

    def write(self) -> None:
        """Writes one row with the counts, and one for each failed test: the time limit loses no outcome."""
        counts = {outcome: self.outcomes[outcome] for outcome in ("passed", "failed", "skipped")}
        rows: list[Row] = [{"tests": "tests/gpu", **counts}, *({"failed test": name} for name in self.failed)]
        write_rows(self._path, rows)


def run(options: StageOptions) -> None:
    """Runs the tests, and writes how many passed; the log contains the messages of failed tests.

    Raises:
        SystemExit: A test failed, or none passed.
    """
    os.environ["CLICKSEG_TEST_CUDA"] = "0" if options.dry else "1"
    counter = _OutcomeCounter(options.output / RESULT)
    counter.write()
    code = pytest.main(["-c", str(_SETTINGS), "--rootdir", ".", "-q", "-ra", "tests/gpu"], plugins=[counter])
    if code or not counter.outcomes["passed"]:
        raise SystemExit(int(code) or 1)
