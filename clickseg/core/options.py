"""The options of a run by name: on the command line ``--name``, in the environment ``CLICKSEG_NAME``."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from clickseg.core.errors import UsageError

E = TypeVar("E", bound=Enum)

OPTIONS = {
    "model": "name of the model package (default: the one that fits the series)",
    "clicks": "files of clicks, or 'none' to use none (default: the click file or SR in the input)",
    "clicks-frame": "what a click file's numbers are where it names no frame: voxel or lps (default: voxel)",
    "series": "Series Instance UIDs to use, separated by commas (default: every series that the model is for)",
    "engine": "auto, openvino, torch or tensorrt (default: auto)",
    "device": "auto, cpu, cuda or cuda:N (default: auto)",
    "precision": "auto, f32, bf16, f16 or int8 (default: auto: bf16 or f16 where the device is made for it, else f32)",
    "remedy": "what to do with a series that is no volume as it is, separated by commas (default: refuse it)",
    "segmentation-type": "BINARY or LABELMAP (default: BINARY)",
    "postprocessing": "on or off (default: on, as the model package says)",
    "nifti": "on to write the label map as NIfTI too (default: off)",
    "cache": "folder for compiled networks (default: ~/.cache/clickseg)",
    "memory-limit": "memory that a run may take, such as 8G (default: what the machine or the container has)",
    "statistics": "on to put the statistics of each segment's values into the report (default: off)",
}
"""Options by name, with their help. The command line wins over the environment."""


def variable(name: str) -> str:
    """Returns the environment variable of an option."""
    return "CLICKSEG_" + name.upper().replace("-", "_")


def option_value(name: str, options: Mapping[str, str | None], environ: Mapping[str, str]) -> str | None:
    """Returns the value of an option; None where it is not set.

    Args:
        name: One of ``OPTIONS``.
        options: Values by name, as on the command line; these win.
        environ: Environment variables; an empty one is as good as none.
    """
    given = options.get(name)
    return given if given is not None else environ.get(variable(name)) or None


def choice(choices: type[E], value: str, name: str) -> E:
    """Returns the member of an enumeration that has a value.

    Raises:
        UsageError: None has.
    """
    try:
        return choices(value)
    except ValueError as error:
        raise UsageError(f"{name}: expected {', '.join(str(each.value) for each in choices)}, got {value!r}") from error


def switch(value: str, name: str) -> bool:
    """Returns whether an option is on.

    Raises:
        UsageError: The value is neither on nor off.
    """
    if value.lower() in ("on", "1", "true", "yes"):
        return True
    if value.lower() in ("off", "0", "false", "no"):
        return False
    raise UsageError(f"{name}: expected on or off, got {value!r}")
