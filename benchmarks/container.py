"""The overhead of a container: ``clickseg run`` compared with the same application as a process."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TypeAlias

from benchmarks.table import Row, publish
from clickseg.cli.container_program import find_program
from clickseg.datasets.phantom import write_study
from tests.helpers import runs

_ROOT = Path(__file__).parents[1]
_REPEATS = 5
_DOCKER_RUN = ("run", "--rm", "--network", "none")

Command: TypeAlias = Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class _Measurement:
    """A command to measure.

    Attributes:
        study: The input.
        method: How the application is run.
        cache: ``reused`` if compiled networks and loops are cached between runs, ``empty`` if they are not; an empty
            text if the command compiles nothing.
        command: The arguments.
    """

    study: str
    method: str
    cache: str
    command: Command


def run(environment: Path, image: str) -> None:
    """Runs the benchmark; prints and stores its table.

    Args:
        environment: A virtual environment of ``requirements-cpu.txt`` with ClickSeg, as ``make demo`` makes it; it
            contains the same packages as the image.
        image: An image of the target ``cpu``.
    """
    python = environment.absolute() / "bin" / "python"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs.write_model(folder / "models")
        runs.write_input(folder / "small")
        write_study(folder / "phantom")
        seconds = _measure(
            [
                *_make_measurements("small CT", folder / "small", folder / "models", python, image),
                *_make_measurements("phantom PET/CT", folder / "phantom", _ROOT / "models", python, image),
                _Measurement(
                    "",
                    "container that prints a manifest",
                    "",
                    find_program().command(*_DOCKER_RUN, image, "show", "app"),
                ),
            ],
            folder,
        )
    rows: list[Row] = [
        {
            "study": measurement.study,
            "method": measurement.method,
            "cache": measurement.cache,
            "s": round(median(times), 2),
            "fastest s": round(min(times), 2),
        }
        for measurement, times in seconds
    ]
    publish(
        "container",
        f"Time from command to results, median of {_REPEATS} interleaved runs; image of {_gigabytes(image)} GB",
        rows,
    )


def _make_measurements(study: str, folder: Path, models: Path, python: Path, image: str) -> list[_Measurement]:
    output, cache = folder.with_name("out"), folder.with_name("container_cache")
    process: Command = [python, "-m", "app", "-i", folder, "-o", output, "-m", models]
    container: Command = [python, "-m", "clickseg", "run", image, folder, output, "-m", models]
    return [
        _Measurement(study, "application, as a process", "empty", process),
        _Measurement(study, "`clickseg run`", "empty", container),
        _Measurement(study, "application, as a process", "reused", process),
        _Measurement(study, "`clickseg run`", "reused", [*container, "--cache", cache]),
    ]


def _measure(measurements: Sequence[_Measurement], folder: Path) -> list[tuple[_Measurement, list[float]]]:
    for measurement in measurements:
        _time_command(measurement, folder)  # fills the caches before the measured runs
    rounds = [[_time_command(measurement, folder) for measurement in measurements] for _ in range(_REPEATS)]
    return [(measurement, [times[index] for times in rounds]) for index, measurement in enumerate(measurements)]


def _time_command(measurement: _Measurement, folder: Path) -> float:
    """Runs a command in a new process; returns the time in seconds, including the start and the end of the process."""
    for leftover in (folder / "out", folder / "empty"):
        shutil.rmtree(leftover, ignore_errors=True)
    start = perf_counter()
    completed = _run_command(measurement.command, {"CLICKSEG_CACHE": str(folder / (measurement.cache or "empty"))})
    seconds = perf_counter() - start
    if completed.returncode != 0:
        raise RuntimeError(f"{measurement.command}: exit code {completed.returncode}: {completed.stderr[-2000:]}")
    return seconds


def _run_command(command: Command, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    inherited = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
    }
    arguments = [str(argument) for argument in command]
    environ = {**inherited, "PYTHONPATH": str(_ROOT), "CLICKSEG_METADATA": "1", **environ}
    return subprocess.run(arguments, env=environ, capture_output=True, text=True, check=False)


def _gigabytes(image: str) -> float:
    completed = _run_command(find_program().command("image", "inspect", "--format", "{{.Size}}", image), {})
    return round(int(completed.stdout) / 1e9, 2)
