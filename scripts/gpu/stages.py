"""The stages, each in a process of its own with its own time limit: a failure loses one stage only."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from scripts.gpu.results import Row, StageOptions, format_tables, read_rows, write_rows

LOG = "log.txt"
SUMMARY = "stages.json"

_TOTAL_S = 530.0
"""The time limit of all stages: a command on the machine is stopped after 10 minutes."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage.

    Attributes:
        name: The name of its module and of its result file.
        seconds: Its time limit.
    """

    name: str
    seconds: float


STAGES = (Stage("tests", 110), Stage("inference", 140), Stage("train", 290))


def run_stages(names: Sequence[str], options: StageOptions) -> int:
    """Runs stages, and prints their results; returns 0 if all succeeded, else 1.

    Args:
        names: The names of the stages; empty for all.
        options: The options; ``seconds`` is ignored.
    """
    options.output.mkdir(parents=True, exist_ok=True)
    start, rows = time.monotonic(), list[Row]()
    with (options.output / LOG).open("wb") as log:
        for stage in STAGES:
            if names and stage.name not in names:
                continue
            left = _TOTAL_S - (time.monotonic() - start)
            rows.append(_run_stage(stage, replace(options, seconds=min(stage.seconds, left)), log))
            write_rows(options.output / SUMMARY, rows)
    for name in (*(str(row["stage"]) for row in rows), Path(SUMMARY).stem):
        sys.stdout.write("\n".join([*format_tables(read_rows(options.output / f"{name}.json")), "", ""]))
    return 0 if all(row["result"] == "success" for row in rows) else 1


def _run_stage(stage: Stage, options: StageOptions, log: BinaryIO) -> Row:
    command = [sys.executable, "-m", "scripts.gpu", stage.name, "--pack", str(options.pack)]
    command += ["--output", str(options.output), "--seconds", str(options.seconds), *(["--dry"] if options.dry else [])]
    start = time.monotonic()
    try:
        limit = None if options.dry else options.seconds
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=limit, check=False).returncode
        result = f"exit code {code}, see {LOG}" if code else "success"
    except subprocess.TimeoutExpired:
        result = "time limit"
    return {"stage": stage.name, "result": result, "s": round(time.monotonic() - start, 1)}
