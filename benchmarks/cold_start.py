"""From a cold start to a written SEG: ClickSeg and its application against a plain script and an SDK sample."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.table import Row, publish
from clickseg.datasets.phantom import write_series
from tests.helpers import phantoms

_ROOT = Path(__file__).parents[1]
_SHAPE, _SPACING_MM = (120, 512, 512), (2.5, 0.8, 0.8)
_ORGAN = (slice(30, 90), slice(150, 350), slice(100, 300))
_REPEATS = 5
_SCRIPT = "script"
_GRID = {"spacing_mm": [3.0, 3.0, 5.0], "orientation": "RAS"}
_WINDOW = {"roi": [64, 64, 32], "overlap": 0.25}

Command = Sequence[str | Path]


def run(environment: Path) -> None:
    """Measures, prints and keeps the table.

    Args:
        environment: A virtual environment of ``requirements-cpu.txt`` with ClickSeg in it, such as ``make demo`` makes;
            left out where there is none. Beside it the environment is measured that this runs in.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder)
        pythons = {"requirements-cpu": environment.absolute() / "bin" / "python", "full": Path(sys.executable)}
        for label, python in pythons.items():
            if python.exists():
                rows += _measured(label, _ways(python, folder, with_sample=label == "full"), folder)
    title = f"CT of 120 x 512 x 512, cold start to written SEG, median of {_REPEATS}, in turn"
    publish("cold_start", title, rows)


def _write(folder: Path) -> None:
    """Writes a CT with an organ in it, and networks of one convolution that find what is above 0 HU."""
    geometry = phantoms.oblique_geometry(
        _SHAPE, axes=np.eye(3), pixel_spacing=_SPACING_MM[1:], slice_spacing=_SPACING_MM[0]
    )
    values = np.full(_SHAPE, -700, np.float32)
    values[_ORGAN] = 500
    write_series(folder / "in", geometry.with_array(values), phantoms.header("CT"))
    section = phantoms.metadata(grid=_GRID, window=_WINDOW)
    phantoms.linear_model(folder / "models" / "hook", section, weights=[[0], [1]], bias=[0, 0])
    subprocess.run([sys.executable, "-c", _TORCHSCRIPT, folder / "model.ts"], check=True)


_TORCHSCRIPT = """
import sys, torch
network = torch.nn.Conv3d(1, 2, 1)
with torch.no_grad():
    network.weight[:] = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1, 1)
    network.bias[:] = 0
torch.jit.script(network).save(sys.argv[1])
"""


def _ways(python: Path, folder: Path, *, with_sample: bool) -> dict[str, Command]:
    study, output, models = folder / "in", folder / "out", folder / "models"
    named: Command = ["-i", study, "-o", output]
    ways: dict[str, Command] = {
        _SCRIPT: [python, _ROOT / "benchmarks" / "plain_script.py", study, output],
        "clickseg segment": [python, "-m", "clickseg", "segment", study, "-o", output, "-m", models],
        "application": [python, "-m", "app", *named, "-m", models],
    }
    if with_sample:
        ways["SDK sample"] = [python, "-m", "benchmarks.sdk_sample", *named, "-m", folder / "model.ts"]
    return ways


def _measured(environment: str, ways: Mapping[str, Command], folder: Path) -> list[Row]:
    for command in ways.values():
        _seconds(command, folder)  # what is compiled and cached is so in the runs that count
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(_REPEATS):
        for way, command in ways.items():
            seconds[way].append(_seconds(command, folder))
    script = median(seconds[_SCRIPT])
    return [
        {
            "environment": environment,
            "way": way,
            "s": round(median(each), 2),
            "fastest s": round(min(each), 2),
            "times the script": round(median(each) / script, 2),
        }
        for way, each in seconds.items()
    ]


def _seconds(command: Command, folder: Path) -> float:
    """Runs a command in a process of its own; returns how long it took, the process's start and end included."""
    unset = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
    environ = {key: value for key, value in os.environ.items() if key not in unset}
    environ |= {"PYTHONPATH": str(_ROOT), "CLICKSEG_CACHE": str(folder / "cache"), "HOLOSCAN_LOG_LEVEL": "OFF"}
    start = perf_counter()
    ended = subprocess.run(
        [str(word) for word in command], env=environ, cwd=folder, capture_output=True, text=True, check=False
    )
    seconds = perf_counter() - start
    if ended.returncode != 0:
        raise RuntimeError(f"{command}: exit code {ended.returncode}: {ended.stderr[-2000:]}")
    return seconds
