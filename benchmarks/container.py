"""From ``clickseg run`` to a written SEG, beside the same application as a process: what a container costs."""

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
_SHOW = ("run", "--rm", "--network", "none")

Command: TypeAlias = Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to run the application.

    Attributes:
        study: What it runs on.
        name: What it is called.
        cache: Whether what was compiled is ``kept`` from run to run; ``none`` is, or nothing has to be compiled.
        command: Its words.
    """

    study: str
    name: str
    cache: str
    command: Command


def run(environment: Path, image: str) -> None:
    """Measures, prints and keeps the table.

    Args:
        environment: A virtual environment of ``requirements-cpu.txt`` with ClickSeg in it, such as ``make demo`` makes:
            the image holds the same packages.
        image: An image of the target ``cpu``.
    """
    python = environment.absolute() / "bin" / "python"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs.write_model(folder / "models")
        runs.write_input(folder / "small")
        write_study(folder / "phantom")
        seconds = _measured(
            [
                *_ways("small CT", folder / "small", folder / "models", python, image),
                *_ways("phantom PET/CT", folder / "phantom", _ROOT / "models", python, image),
                _Way("", "container that prints a manifest", "", find_program().command(*_SHOW, image, "show", "app")),
            ],
            folder,
        )
    rows: list[Row] = [
        {
            "study": way.study,
            "way": way.name,
            "cache": way.cache,
            "s": round(median(each), 2),
            "fastest s": round(min(each), 2),
        }
        for way, each in seconds
    ]
    publish("container", f"Command to results, median of {_REPEATS}, in turn; image of {_gigabytes(image)} GB", rows)


def _ways(study: str, folder: Path, models: Path, python: Path, image: str) -> list[_Way]:
    out, inside = folder.with_name("out"), folder.with_name("inside")
    process: Command = [python, "-m", "app", "-i", folder, "-o", out, "-m", models]
    container: Command = [python, "-m", "clickseg", "run", image, folder, out, "-m", models]
    return [
        _Way(study, "application, as a process", "none", process),
        _Way(study, "`clickseg run`", "none", container),
        _Way(study, "application, as a process", "kept", process),
        _Way(study, "`clickseg run`", "kept", [*container, "--cache", inside]),
    ]


def _measured(ways: Sequence[_Way], folder: Path) -> list[tuple[_Way, list[float]]]:
    for way in ways:
        _seconds(way, folder)  # files are read from memory, and caches are filled, in the runs that count
    rounds = [[_seconds(way, folder) for way in ways] for _ in range(_REPEATS)]
    return [(way, [each[place] for each in rounds]) for place, way in enumerate(ways)]


def _seconds(way: _Way, folder: Path) -> float:
    """Runs a command in a process of its own; returns how long it took, the process's start and end included."""
    for leftover in (folder / "out", folder / "none"):
        shutil.rmtree(leftover, ignore_errors=True)
    start = perf_counter()
    ended = _ended(way.command, {"CLICKSEG_CACHE": str(folder / (way.cache or "none"))})
    seconds = perf_counter() - start
    if ended.returncode != 0:
        raise RuntimeError(f"{way.command}: exit code {ended.returncode}: {ended.stderr[-2000:]}")
    return seconds


def _ended(command: Command, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
    words = [str(word) for word in command]
    environ = {**kept, "PYTHONPATH": str(_ROOT), "CLICKSEG_METADATA": "1", **environ}
    return subprocess.run(words, env=environ, capture_output=True, text=True, check=False)


def _gigabytes(image: str) -> float:
    asked = _ended(find_program().command("image", "inspect", "--format", "{{.Size}}", image), {})
    return round(int(asked.stdout) / 1e9, 2)
