"""Complete runs on synthetic input: a CT with a hook, and a network whose result is known."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from unittest.mock import patch

import numpy as np

from clickseg.cli.main import main
from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.formats.clicks_json import write_clicks_json
from tests.helpers import phantoms

REPOSITORY = Path(__file__).parents[2]
GEOMETRY = phantoms.oblique_geometry((12, 14, 16))
GRID_SPACING_MM = [round(float(value), 6) for value in GEOMETRY.to_patient_orientation("RAS").spacing]
INSIDE_HU, OUTSIDE_HU, THRESHOLD_HU = 500.0, -700.0, 0.0
HANG_S = 600
"""A process that takes longer hangs, even on a busy machine."""


def write_input(folder: Path, *clicks: Click, modality: str = "CT", name: str = "test") -> Path:
    """Writes a series with a hook, and a click file if there are clicks; returns the folder."""
    phantoms.write(folder / modality, phantoms.hook_volume(GEOMETRY, INSIDE_HU, OUTSIDE_HU), modality, name)
    if clicks:
        frame = str(phantoms.header(modality, name).FrameOfReferenceUID)
        write_clicks_json(Clicks(clicks, frame), folder / "clicks.json")
    return folder


def write_model(folder: Path, name: str = "thresholder", **changes: object) -> Path:
    """Writes a model that segments voxels above 0 HU and follows the balls of clicks; returns the folder of models."""
    grid = {"spacing_mm": GRID_SPACING_MM, "orientation": "RAS"}
    section = phantoms.metadata(**{"grid": grid, "guidance": phantoms.GUIDANCE} | changes)
    phantoms.write_linear_model(folder / name, section, weights=[[0, 0, 0], [1, 100, -100]], bias=[0, 0])
    return folder


def click(*index: float, polarity: Polarity = Polarity.FOREGROUND, label: str = "hook") -> Click:
    """Returns a click at a voxel index [K, J, I] of the series."""
    x, y, z = GEOMETRY.map_indices_to_reference(np.array([index]))[0]
    return Click(label, polarity, (float(x), float(y), float(z)))


def expected_labels(*clicks: Click) -> np.ndarray:
    """Returns the label map that the network must give, computed voxel by voxel."""
    labels = phantoms.hook_volume(GEOMETRY).array.astype(bool)
    voxels = np.indices(GEOMETRY.spatial_shape).reshape(3, -1).T
    for point in clicks:
        centre = np.floor(GEOMETRY.map_reference_to_indices(np.array([point.position_mm])) + 0.5)
        ball = (((voxels - centre) ** 2).sum(axis=1) <= 4).reshape(labels.shape)
        labels[ball] = point.polarity is Polarity.FOREGROUND
    return labels


def environment(**changes: str) -> dict[str, str]:
    """Returns the environment variables for a process, without the settings of this machine."""
    settings = ("CLICKSEG_", "HOLOSCAN_", "SOURCE_DATE")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    return {**inherited, "SOURCE_DATE_EPOCH": "1700000000", **changes}


def run_process(command: Sequence[object], cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a new process; the word ``python`` stands for this Python."""
    words = [sys.executable if word == "python" else str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=environment(**environ), capture_output=True, text=True, check=False)


def run_clickseg_process(
    *arguments: object, cwd: Path | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Runs the ``clickseg`` command as a user does, in a new process."""
    return run_process([Path(sys.executable).with_name("clickseg"), *arguments], cwd, **environ)


def run_clickseg(*arguments: object, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs the ``clickseg`` command in this process, which saves the imports, and restores the state of the process."""
    words, output, errors = [str(word) for word in arguments], _Stream(), _Stream()
    streams = redirect_stdout(output), redirect_stderr(errors)
    with (
        _restore_process_state(),
        _change_folder(cwd),
        patch.dict(os.environ, environment(**environ), clear=True),
        streams[0],
        streams[1],
    ):
        code = _run_main(words)
    return subprocess.CompletedProcess(["clickseg", *words], code, output.text(), errors.text())


class _Stream(TextIOWrapper):
    """A standard stream in memory."""

    def __init__(self) -> None:
        super().__init__(BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        return self.buffer.getvalue().decode().replace("\r\n", "\n")


def _run_main(words: list[str]) -> int:
    """Returns the exit code that Python gives the command, and prints the traceback of an exception."""
    try:
        return main(words)
    except SystemExit as exit_:
        return int(exit_.code or 0)
    except Exception:  # noqa: BLE001 - like Python at the end of a process
        traceback.print_exc()
        return 1


@contextmanager
def _restore_process_state() -> Iterator[None]:
    """Restores the settings that an entry point changes: signals, hook, logs, warnings, garbage collector."""
    logger, threshold = logging.getLogger("clickseg"), gc.get_threshold()
    log_settings, hook = (logger.handlers, logger.propagate, logger.level), sys.unraisablehook
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.handlers, logger.propagate, logger.level = log_settings
        gc.set_threshold(*threshold)
        gc.unfreeze()
        sys.unraisablehook = hook
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _change_folder(path: Path | None) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(path or before)
    try:
        yield
    finally:
        os.chdir(before)


def write_slow_model(folder: Path) -> Path:
    """Writes a package with about 130,000 windows, so that inference takes half a minute."""
    fine_grid = {"spacing_mm": [spacing / 5 for spacing in GRID_SPACING_MM], "orientation": "RAS"}
    return write_model(folder, grid=fine_grid, window={"roi": [16, 16, 16], "overlap": 0.9375})


def start_process(command: list[object], **environ: str) -> subprocess.Popen[str]:
    """Starts a command in a new process, with a pipe for standard error."""
    words = [str(word) for word in command]
    return subprocess.Popen(words, env=environment(**environ), stderr=subprocess.PIPE, text=True)


def wait_until_running(output: Path) -> None:
    """Waits until a run has made its working folder, which it does just before inference; raises if the run hangs."""
    for _ in range(10 * HANG_S):
        if output.is_dir() and any(output.glob(".clickseg-*/.lock")):
            time.sleep(0.3)
            return
        time.sleep(0.1)
    raise TimeoutError("the run has not started")


def read_result_files(folder: Path) -> dict[str, bytes]:
    """Returns the content of all result files by name, except the report, which contains times."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "report.json"}


def error_lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith(("error: ", "hint: "))]
