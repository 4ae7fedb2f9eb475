"""Options about a model of another tool that have no effect on it are errors: the user expects that they have one."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator
from typing import get_args, get_origin

from pydantic import BaseModel

from clickseg.core.errors import UsageError
from clickseg.models.importers.changes import source_changes
from clickseg.models.importers.source_model import PRESET, STORED_AXES, UNIT, ImportOptions, SourceModel
from clickseg.models.spec import ModelSpec

_MAX_KEY = 100
"""Longer keys are not compared: it would take long."""

_HINTS = {
    STORED_AXES: "the model turns images to axes of its own: omit the option, or change them with --set "
    "grid.orientation=LPS",
    UNIT: "change it with --set inputs.0.unit=HU",
    PRESET: "presets are for files that contain only weights, and for TotalSegmentator: omit the option",
}


def check_used_options(source: SourceModel, options: ImportOptions, format_name: str) -> None:
    """Rejects options that had no effect.

    Args:
        source: The model as its reader describes it, with the options that the reader used.
        options: All options.
        format_name: The name of the model's format, for messages.

    Raises:
        UsageError: The reader did not use an option or a key of ``--set``.
    """
    stated = {STORED_AXES: bool(options.stored_axes), UNIT: options.unit is not None, PRESET: bool(options.preset)}
    for name, is_stated in stated.items():
        if is_stated and name not in source.used_options:
            raise UsageError(f"--{name}: has no effect on {source.name} ({format_name})", hint=_HINTS[name])
    for key in source_changes(options.changes):
        if key not in source.used_options:
            raise UsageError(f"--set {key}: has no effect on {source.name} ({format_name})", hint=similar_keys(key))


def similar_keys(key: str, others: Iterable[str] = ()) -> str | None:
    """Returns a hint with the key that resembles an unknown one most; None if none does.

    Args:
        key: The unknown key.
        others: Keys in addition to the fields of the description.
    """
    short = (name for name in (*others, *_description_keys()) if len(name) <= _MAX_KEY)
    found = difflib.get_close_matches(key[:_MAX_KEY], short, n=1)
    return f"did you mean {found[0]}?" if found else None


def _description_keys() -> Iterator[str]:
    """Yields the fields of the ``clickseg`` section, and those of its objects; of lists, those of the first item."""
    for name, field in ModelSpec.model_fields.items():
        yield name
        item = f"{name}.0" if get_origin(field.annotation) is tuple else name
        for part in (field.annotation, *get_args(field.annotation)):
            if inspect.isclass(part) and issubclass(part, BaseModel):
                yield from (f"{item}.{inner}" for inner in part.model_fields)
