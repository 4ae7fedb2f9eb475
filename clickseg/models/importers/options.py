"""Reads what the user states about a model of another tool: ``--stored-axes``, ``--unit``, ``--preset``, ``--set``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from clickseg.core.errors import UsageError
from clickseg.core.options import option_value
from clickseg.models.importers.source_model import PRESET, STORED_AXES, UNIT, ImportOptions

CHANGE_SEPARATOR = "\n"
"""Separates several changes in one value, because JSON contains commas."""

_RESUME_HINT = (
    "omit the option: the session uses those that it was opened with; or begin a new session in another folder"
)
_UNITS = {"HU": "HU", "SUVBW": "SUVbw", "NONE": ""}
_AXES = re.compile(r"(?=.*[RL])(?=.*[AP])(?=.*[SI])[RLAPSI]{3}")


def read_import_options(options: Mapping[str, str | None], environ: Mapping[str, str]) -> ImportOptions:
    """Returns what the user states.

    Args:
        options: Values by option name; they take precedence over the environment.
        environ: Environment variables.

    Raises:
        UsageError: An option has an invalid value.
    """

    def value(name: str) -> str:
        return option_value(name, options, environ) or ""

    return ImportOptions(
        stored_axes=parse_axes(value("stored-axes")),
        unit=parse_unit(value("unit")),
        preset=value("preset"),
        changes=dict(_parse_change(line) for line in value("set").split(CHANGE_SEPARATOR) if line.strip()),
    )


def resume_options(stated: ImportOptions, stored: ImportOptions) -> ImportOptions:
    """Returns the options that a session was opened with; those that are stated again must be the same.

    Args:
        stated: What the user states now.
        stored: What the user stated when the session was opened.

    Raises:
        UsageError: An option differs.
    """
    before = _stated_values(stored)
    for name, value in _stated_values(stated).items():
        if name not in before:
            raise UsageError(f"{name}: the session was opened without it", hint=_RESUME_HINT)
        if before[name] != value:
            was, now = json.dumps(before[name]), json.dumps(value)
            raise UsageError(f"{name}: the session was opened with {was}, got {now}", hint=_RESUME_HINT)
    return stored


def _stated_values(options: ImportOptions) -> dict[str, Any]:
    """Returns the stated values by the option that states them."""
    axes = {f"--{STORED_AXES}": options.stored_axes} if options.stored_axes else {}
    unit = {f"--{UNIT}": options.unit or "none"} if options.unit is not None else {}
    preset = {f"--{PRESET}": options.preset} if options.preset else {}
    return {**axes, **unit, **preset, **{f"--set {key}": value for key, value in options.changes.items()}}


def parse_axes(value: str) -> str:
    """Returns axes in capitals; empty if not stated.

    Raises:
        UsageError: The value does not name each axis once.
    """
    axes = _text(value, STORED_AXES).upper()
    if axes and not _AXES.fullmatch(axes):
        raise UsageError(f"stored-axes: expected one letter of each of RL, AP and SI, such as LPS, got {value!r}")
    return axes


def parse_unit(value: str) -> str | None:
    """Returns a unit as a model describes it; None if not stated.

    Raises:
        UsageError: The unit is not known.
    """
    if not _text(value, UNIT):
        return None
    if value.upper() not in _UNITS:
        raise UsageError(f"unit: expected HU, SUVbw or none, got {value!r}")
    return _UNITS[value.upper()]


def parse_preset(value: str) -> str:
    """Returns the name of a preset; empty if not stated.

    Raises:
        UsageError: The value is not a text.
    """
    return _text(value, PRESET)


def parse_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns changes as JSON values.

    Raises:
        UsageError: The changes are not a mapping, a key is not a text, or a value is not JSON.
    """
    if not isinstance(changes, Mapping) or not all(isinstance(key, str) for key in changes):
        raise UsageError(f"changes: expected values by key, such as {{'window.overlap': 0.25}}, got {changes!r:.80}")
    return {key: _json_value(value, key) for key, value in changes.items()}


def _json_value(value: Any, key: str) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"changes: {key}: expected a value of JSON, got {value!r:.80}") from error


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name}: expected a text, got {value!r:.80}")
    return value


def _parse_change(text: str) -> tuple[str, Any]:
    """Returns key and value of ``KEY=VALUE``; a value that is not JSON is a text."""
    key, separator, value = text.strip().partition("=")
    if not separator or not key.strip():
        raise UsageError(f"set: expected KEY=VALUE, such as window.overlap=0.25, got {text!r}")
    try:
        return key.strip(), json.loads(value, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        return key.strip(), value.strip()


def _reject_constant(name: str) -> Any:
    raise ValueError(name)
