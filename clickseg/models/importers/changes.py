"""Changes of a model's description that the user states with ``--set KEY=VALUE``."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.models.spec import ModelSpec

_UNCHANGEABLE = "weights"
"""The digests of the weights: they are computed, not stated."""


def is_section_key(key: str) -> bool:
    """Whether a key is a field of the ``clickseg`` section, such as ``window.overlap``, and not a key of the source."""
    first = key.partition(".")[0]
    return "#" not in key and first in ModelSpec.model_fields and first != _UNCHANGEABLE


def source_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the changes that concern keys of the source, which its reader makes."""
    return {key: value for key, value in changes.items() if not is_section_key(key)}


def change_section(section: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a section with other values for some fields; keys of the source are ignored.

    Args:
        section: The ``clickseg`` section, as JSON values.
        changes: Values by dotted key; a number in a key is the position in a list, counted from 0.

    Raises:
        ModelError: A key leads through a value that is neither an object nor a list, or to no item of a list.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(section))
    for key, value in changes.items():
        if is_section_key(key):
            _set_value(changed, key, value)
    return changed


def _set_value(section: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    container: Any = section
    for part in parents:
        if isinstance(container, dict):
            container = container.setdefault(part, {})
        else:
            container = container[_position(container, part, key)]
    if isinstance(container, dict):
        container[last] = value
    else:
        container[_position(container, last, key)] = value


def _position(container: Any, part: str, key: str) -> int:
    if not isinstance(container, list) or not part.isdecimal() or int(part) >= len(container):
        length = f"a list of {len(container)}" if isinstance(container, list) else type(container).__name__
        raise ModelError(f"--set {key}: {part!r} leads to nothing: the description has {length} there")
    return int(part)
