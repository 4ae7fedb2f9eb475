"""Reading configurations: presets and files, each over the one before it, and single values over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from clickseg.errors import InputError, UsageError
from clickseg.training.config import Training
from clickseg.validation import parse

PRESETS = Path(__file__).parent / "presets"
MAX_YAML_BYTES = 1 << 20

_OVER = "most presets lie over another one: -c pet_lesion -c lesion"


def read_config(names: Sequence[str], changes: Sequence[str]) -> Training:
    """Returns a configuration.

    Args:
        names: Files, or the names of presets; what a later one says counts.
        changes: ``PATH=VALUE``, such as ``optimization.learning_rate=0.01``; the value as YAML.

    Raises:
        InputError: A file cannot be read, or a value does not fit.
        UsageError: A change is not of this form.
    """
    content: dict[str, Any] = {}
    for name in names:
        content = merged(content, _read(name))
    for change in changes:
        content = merged(content, _nested(change))
    try:
        return parse(Training, content, "training configuration", InputError)
    except InputError as error:
        raise InputError(str(error), hint=_OVER if str(error).endswith(": missing") else None) from error


def preset_names() -> tuple[str, ...]:
    """Returns the names of the presets."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def merged(content: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration with another one over it; a list, and a network, replaces the one that was there."""
    result = dict(content)
    for key, value in more.items():
        before = result.get(key)
        is_inner = isinstance(before, dict) and isinstance(value, dict) and "_target_" not in value
        result[key] = merged(before, value) if is_inner and isinstance(before, dict) else value
    return result


def as_yaml(how: Training) -> str:
    """Returns a configuration with every value in its place."""
    text: str = yaml.safe_dump(how.model_dump(mode="json"), sort_keys=False)
    return text


def _read(name: str) -> dict[str, Any]:
    path = PRESETS / f"{name}.yaml" if name in preset_names() else Path(name)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_YAML_BYTES + 1)
    except OSError as error:
        known = ", ".join(preset_names())
        raise InputError(f"{name}: cannot be read: {error.strerror}", hint=f"a file, or one of {known}") from error
    if len(text) > MAX_YAML_BYTES:
        raise InputError(f"{path.name}: expected at most {MAX_YAML_BYTES} bytes of YAML")
    return _mapping(text, path.name)


def _nested(change: str) -> dict[str, Any]:
    path, equals, text = change.partition("=")
    if not equals or not all(path.split(".")):
        raise UsageError(f"expected PATH=VALUE, such as optimization.learning_rate=0.01, got {change!r}")
    nested: Any = _value(text, change)
    for key in reversed(path.split(".")):
        nested = {key: nested}
    return dict(nested)


def _mapping(text: bytes, name: str) -> dict[str, Any]:
    content = _value(text, name)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{name}: expected names and values")
    return content


def _value(text: bytes | str, name: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: not YAML") from error
