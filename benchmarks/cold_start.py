"""Time from the start of a process to a written SEG: ClickSeg, its application, a plain script and an SDK sample."""

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
    """Runs the benchmark; prints and stores its table.

    Args:
        environment: A virtual environment of ``requirements-cpu.txt`` with ClickSeg, as ``make demo`` makes it; skipped
            if it does not exist. The environment of this process is measured too.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_input(folder)
        pythons = {"requirements-cpu": environment.absolute() / "bin" / "python", "full": Path(sys.executable)}
        for label, python in pythons.items():
            if python.exists():
                rows += _measure(label, _make_commands(python, folder, with_sample=label == "full"), folder)
    title = f"CT of 120 x 512 x 512, cold start to written SEG, median of {_REPEATS} interleaved runs"
    publish("cold_start", title, rows)


def _write_input(folder: Path) -> None:
    """Writes a CT with an organ, and networks of one convolution that segment voxels above 0 HU."""
    geometry = phantoms.oblique_geometry(
        _SHAPE, axes=np.eye(3), pixel_spacing=_SPACING_MM[1:], slice_spacing=_SPACING_MM[0]
    )
    values = np.full(_SHAPE, -700, np.float32)
    values[_ORGAN] = 500
    write_series(folder / "in", geometry.with_array(values), phantoms.header("CT"))
    section = phantoms.metadata(grid=_GRID, window=_WINDOW)
    phantoms.write_linear_model(folder / "models" / "hook", section, weights=[[0], [1]], bias=[0, 0])
    subprocess.run([sys.executable, "-c", _WRITE_TORCHSCRIPT, folder / "model.ts"], check=True)


_WRITE_TORCHSCRIPT = """
import sys, torch
network = torch.nn.Conv3d(1, 2, 1)
with torch.no_grad():
    network.weight[:] = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1, 1)
    network.bias[:] = 0
torch.jit.script(network).save(sys.argv[1])
"""


def _make_commands(python: Path, folder: Path, *, with_sample: bool) -> dict[str, Command]:
    study, output, models = folder / "in", folder / "out", folder / "models"
    folders: Command = ["-i", study, "-o", output]
    commands: dict[str, Command] = {
        _SCRIPT: [python, _ROOT / "benchmarks" / "plain_script.py", study, output],
        "clickseg segment": [python, "-m", "clickseg", "segment", study, "-o", output, "-m", models],
        "application": [python, "-m", "app", *folders, "-m", models],
    }
    if with_sample:
        commands["SDK sample"] = [python, "-m", "benchmarks.sdk_sample", *folders, "-m", folder / "model.ts"]
    return commands


def _measure(environment: str, commands: Mapping[str, Command], folder: Path) -> list[Row]:
    for command in commands.values():
        _time_command(command, folder)  # fills the caches before the measured runs
    seconds: dict[str, list[float]] = {method: [] for method in commands}
    for _ in range(_REPEATS):
        for method, command in commands.items():
            seconds[method].append(_time_command(command, folder))
    script = median(seconds[_SCRIPT])
    return [
        {
            "environment": environment,
            "method": method,
            "s": round(median(times), 2),
            "fastest s": round(min(times), 2),
            "time relative to script": round(median(times) / script, 2),
        }
        for method, times in seconds.items()
    ]


def _time_command(command: Command, folder: Path) -> float:
    """Runs a command in a new process; returns the time in seconds, including the start and the end of the process."""
    removed = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
    environ = {key: value for key, value in os.environ.items() if key not in removed}
    environ |= {"PYTHONPATH": str(_ROOT), "CLICKSEG_CACHE": str(folder / "cache"), "HOLOSCAN_LOG_LEVEL": "OFF"}
    start = perf_counter()
    completed = subprocess.run(
        [str(argument) for argument in command], env=environ, cwd=folder, capture_output=True, text=True, check=False
    )
    seconds = perf_counter() - start
    if completed.returncode != 0:
        raise RuntimeError(f"{command}: exit code {completed.returncode}: {completed.stderr[-2000:]}")
    return seconds
