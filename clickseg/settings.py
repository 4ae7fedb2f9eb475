"""Everything that a user can set, read once at the edge from arguments and environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TypeVar

from clickseg.clicks.grand_challenge import Frame
from clickseg.clock import read_clock
from clickseg.dicom.remedies import Remedies
from clickseg.dicom.segmentation_type import SegmentationType
from clickseg.engines.choice import Runtime
from clickseg.engines.engine import Precision
from clickseg.errors import UsageError
from clickseg.memory import Memory, machine_limit_bytes, read_size
from clickseg.models.choice import ModelPath, model_paths
from clickseg.options import variable

E = TypeVar("E", bound=Enum)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one run.

    Attributes:
        input: A folder of DICOM, or one file.
        output: The folder for the results.
        models: Where to look for model packages, in order.
        model: The model package asked for.
        clicks: Click files, or ``none``; empty to look in the input folder.
        clicks_frame: What the numbers of a click file are that names no frame.
        series_uids: The series asked for; none for all.
        runtime: The inference runtime.
        device: The device.
        precision: What the network computes in.
        remedies: What may be done with a series that is no volume as it is.
        segmentation_type: How the SEG is encoded.
        postprocessing: Whether the model package's postprocessing is applied.
        nifti: Whether the label map is written as NIfTI too.
        statistics: Whether the report holds statistics of each segment's values.
        cache: The folder for compiled networks.
        memory: The memory that the run may take.
        clock: The time that is stamped on the results.
    """

    input: Path
    output: Path
    models: tuple[ModelPath, ...]
    model: str | None
    clicks: tuple[str, ...]
    clicks_frame: Frame
    series_uids: tuple[str, ...]
    runtime: Runtime
    device: str
    precision: Precision
    remedies: Remedies
    segmentation_type: SegmentationType
    postprocessing: bool
    nifti: bool
    statistics: bool
    cache: Path
    memory: Memory
    clock: datetime


def read_settings(
    input_path: Path,
    output_path: Path,
    models: Path | None,
    options: Mapping[str, str | None],
    environ: Mapping[str, str],
) -> Settings:
    """Returns the settings of a run.

    Args:
        input_path: The input.
        output_path: The output folder.
        models: What ``-m`` names, if anything.
        options: Values by the names in ``OPTIONS``; these win over the environment.
        environ: Environment variables.

    Raises:
        UsageError: A value is none of those that an option takes.
    """

    def value(name: str) -> str | None:
        given = options.get(name)
        return given if given is not None else environ.get(variable(name)) or None

    return Settings(
        input=input_path,
        output=output_path,
        models=model_paths(models, environ),
        model=value("model"),
        clicks=tuple(path for path in (value("clicks") or "").split(os.pathsep) if path),
        clicks_frame=choice(Frame, value("clicks-frame") or "voxel", "clicks-frame"),
        series_uids=_items(value("series")),
        runtime=choice(Runtime, value("engine") or "auto", "engine"),
        device=checked_device(value("device") or "auto"),
        precision=choice(Precision, value("precision") or "auto", "precision"),
        remedies=Remedies.parse(_items(value("remedy"))),
        segmentation_type=choice(
            SegmentationType, (value("segmentation-type") or "BINARY").upper(), "segmentation-type"
        ),
        postprocessing=_switch(value("postprocessing") or "on", "postprocessing"),
        nifti=_switch(value("nifti") or "off", "nifti"),
        statistics=_switch(value("statistics") or "off", "statistics"),
        cache=Path(value("cache") or _default_cache(environ)),
        memory=Memory(_limit(value("memory-limit")), output_path),
        clock=read_clock(environ),
    )


def choice(choices: type[E], value: str, name: str) -> E:
    """Returns the choice of a value.

    Raises:
        UsageError: It is none of them.
    """
    try:
        return choices(value)
    except ValueError as error:
        raise UsageError(f"{name}: expected {', '.join(str(each.value) for each in choices)}, got {value!r}") from error


def _default_cache(environ: Mapping[str, str]) -> Path:
    """Returns the folder of the XDG Base Directory Specification; on Windows that of the user's local data."""
    folder = environ.get("XDG_CACHE_HOME") or environ.get("LOCALAPPDATA")
    return Path(folder or Path(environ.get("HOME") or "/", ".cache"), "clickseg")


def _limit(value: str | None) -> int:
    return machine_limit_bytes() if value is None else read_size(value)


def _items(value: str | None) -> tuple[str, ...]:
    return tuple(item.strip() for item in (value or "").split(",") if item.strip())


def checked_device(value: str) -> str:
    """Returns the name of a device.

    Raises:
        UsageError: It is none.
    """
    if value in ("auto", "cpu", "cuda") or (value.startswith("cuda:") and value[5:].isdecimal()):
        return value
    raise UsageError(f"device: expected auto, cpu, cuda or cuda:N, got {value!r}")


def _switch(value: str, name: str) -> bool:
    switches = {
        "on": True,
        "1": True,
        "true": True,
        "yes": True,
        "off": False,
        "0": False,
        "false": False,
        "no": False,
    }
    if value.lower() not in switches:
        raise UsageError(f"{name}: expected on or off, got {value!r}")
    return switches[value.lower()]
