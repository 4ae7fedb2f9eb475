"""Whole runs on made-up input: a CT with a hook, and a network whose answer is known."""

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
"""After this time, however busy the machine is, a process hangs."""


def write_input(folder: Path, *clicks: Click, modality: str = "CT", name: str = "test") -> Path:
    """Writes a series with a hook, and clicks where there are any."""
    phantoms.write(folder / modality, phantoms.hook(GEOMETRY, INSIDE_HU, OUTSIDE_HU), modality, name)
    if clicks:
        frame = str(phantoms.header(modality, name).FrameOfReferenceUID)
        write_clicks_json(Clicks(clicks, frame), folder / "clicks.json")
    return folder


def write_model(folder: Path, name: str = "thresholder", **changes: object) -> Path:
    """Writes a package that finds what is above 0 HU, but for the balls of clicks; returns the folder of packages."""
    grid = {"spacing_mm": GRID_SPACING_MM, "orientation": "RAS"}
    section = phantoms.metadata(**{"grid": grid, "guidance": phantoms.GUIDANCE} | changes)
    phantoms.linear_model(folder / name, section, weights=[[0, 0, 0], [1, 100, -100]], bias=[0, 0])
    return folder


def click(*index: float, polarity: Polarity = Polarity.FOREGROUND, label: str = "hook") -> Click:
    """A click at a voxel of the series, [K, J, I]."""
    x, y, z = GEOMETRY.map_indices_to_reference(np.array([index]))[0]
    return Click(label, polarity, (float(x), float(y), float(z)))


def expected(*clicks: Click) -> np.ndarray:
    """The label map that the network must give, worked out voxel by voxel."""
    labels = phantoms.hook(GEOMETRY).array.astype(bool)
    voxels = np.indices(GEOMETRY.spatial_shape).reshape(3, -1).T
    for each in clicks:
        centre = np.floor(GEOMETRY.map_reference_to_indices(np.array([each.position_mm])) + 0.5)
        ball = (((voxels - centre) ** 2).sum(axis=1) <= 4).reshape(labels.shape)
        labels[ball] = each.polarity is Polarity.FOREGROUND
    return labels


def environment(**changes: str) -> dict[str, str]:
    """The environment of a process, without the settings of this machine."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CLICKSEG_", "HOLOSCAN_", "SOURCE_DATE"))}
    return {**kept, "SOURCE_DATE_EPOCH": "1700000000", **changes}


def process(command: Sequence[object], cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own, with this Python where it says ``python``."""
    words = [sys.executable if word == "python" else str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=environment(**environ), capture_output=True, text=True, check=False)


def command(*arguments: object, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs the ``clickseg`` command as a user does, in a process of its own."""
    return process([Path(sys.executable).with_name("clickseg"), *arguments], cwd, **environ)


def clickseg(*arguments: object, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs the ``clickseg`` command in this process, which spares it the imports, and leaves the process as it was."""
    words, output, errors = [str(word) for word in arguments], _Stream(), _Stream()
    streams = redirect_stdout(output), redirect_stderr(errors)
    with _kept(), _folder(cwd), patch.dict(os.environ, environment(**environ), clear=True), streams[0], streams[1]:
        code = _code(words)
    return subprocess.CompletedProcess(["clickseg", *words], code, output.text(), errors.text())


class _Stream(TextIOWrapper):
    """A standard stream in memory."""

    def __init__(self) -> None:
        super().__init__(BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        return self.buffer.getvalue().decode().replace("\r\n", "\n")


def _code(words: list[str]) -> int:
    """The exit code that Python gives the command, with the traceback that it writes."""
    try:
        return main(words)
    except SystemExit as end:
        return int(end.code or 0)
    except Exception:  # noqa: BLE001 - as Python ends a process
        traceback.print_exc()
        return 1


@contextmanager
def _kept() -> Iterator[None]:
    """Puts back what the entry point of a process sets for itself: signals, the hook, logs, warnings, the collector."""
    logger, threshold = logging.getLogger("clickseg"), gc.get_threshold()
    logs, hook = (logger.handlers, logger.propagate, logger.level), sys.unraisablehook
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.handlers, logger.propagate, logger.level = logs
        gc.set_threshold(*threshold)
        gc.unfreeze()
        sys.unraisablehook = hook
        for each, handler in handlers.items():
            signal.signal(each, handler)


@contextmanager
def _folder(path: Path | None) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(path or before)
    try:
        yield
    finally:
        os.chdir(before)


def write_slow_model(folder: Path) -> Path:
    """Writes a package of some 130,000 windows, so that a run is in the midst of them for half a minute."""
    fine = {"spacing_mm": [spacing / 5 for spacing in GRID_SPACING_MM], "orientation": "RAS"}
    return write_model(folder, grid=fine, window={"roi": [16, 16, 16], "overlap": 0.9375})


def started(command: list[object], **environ: str) -> subprocess.Popen[str]:
    """Starts a command in a process of its own; its errors are piped."""
    words = [str(word) for word in command]
    return subprocess.Popen(words, env=environment(**environ), stderr=subprocess.PIPE, text=True)


def wait_until_it_runs(output: Path) -> None:
    """Waits until a run has its working folder, which it makes before it starts on windows; guards against a hang."""
    for _ in range(10 * HANG_S):
        if output.is_dir() and any(output.glob(".clickseg-*/.lock")):
            time.sleep(0.3)
            return
        time.sleep(0.1)
    raise TimeoutError("the run has not begun")


def written(folder: Path) -> dict[str, bytes]:
    """All that was written but the report, which holds times."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "report.json"}


def error_lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith(("error: ", "hint: "))]
