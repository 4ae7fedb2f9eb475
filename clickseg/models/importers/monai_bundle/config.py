"""The configuration of a MONAI Bundle: loads it, and resolves references and expressions without executing them.

MONAI's own parser is not used, because it evaluates expressions as Python.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.core.text import join_names
from clickseg.core.validation import read_json
from clickseg.models.importers.monai_bundle.expressions import MAX_ITEMS, REFERENCE, Function, evaluate
from clickseg.models.importers.monai_bundle.yaml_files import read_yaml
from clickseg.models.importers.used_options import similar_keys

_MAX_DEPTH = 64
_MAX_REFERENCES = 12
"""The largest number of keys that refer to each other in a row."""

_MAX_TOTAL = 10 * MAX_ITEMS
"""The largest number of values of all keys that are resolved, and of items and characters of their expressions."""

_MAX_SORTED = 1000
"""Of larger objects, messages do not list the keys: a configuration can have many references to unknown keys."""

_SEPARATOR = re.compile(r"#|::")


@dataclass(frozen=True, slots=True)
class Unsupported:
    """In place of a value that cannot be determined; an error only where the value is needed."""

    error: ModelError


def load_config(path: Path) -> dict[str, Any]:
    """Returns the content of a configuration file, JSON or YAML by its extension.

    Raises:
        ModelError: The file cannot be read, is too large or too deeply nested, or is not an object.
        LibraryError: The file is YAML, and PyYAML is not installed.
    """
    content = read_json(path, ModelError) if path.suffix.lower() == ".json" else read_yaml(path)
    return check_config(content, path.name)


def check_config(content: Any, name: str) -> dict[str, Any]:
    """Returns a configuration, checked for its size and depth.

    Raises:
        ModelError: It is not an object, too large or too deeply nested.
    """
    if not isinstance(content, dict):
        raise ModelError(f"{name}: expected an object, got {type(content).__name__}")
    _count_values(content, name)
    return content


class BundleConfig:
    """Resolves the keys of a configuration: only those that are asked for, and those that they refer to.

    Args:
        content: The configuration.
        functions: Functions of one argument that expressions may call, by name.
    """

    def __init__(self, content: Mapping[str, Any], functions: Mapping[str, Function]) -> None:
        self._content = content
        self._functions = functions
        self._values: dict[str, Any] = {}
        self._in_progress: list[str] = []
        self._used: set[str] = set()
        self._count = 0

    def __contains__(self, key: str) -> bool:
        return key in self._content

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys at the top."""
        return tuple(self._content)

    def is_used(self, key: str) -> bool:
        """Whether a key at the top was resolved so far, itself or a part of it."""
        return key in self._used

    def unresolved(self, key: str) -> Any:
        """Returns the value of a key, with references and expressions in it; None if it does not exist."""
        try:
            return find_key(self._content, key)
        except ModelError:
            return None

    def resolve(self, key: str) -> Any:
        """Returns the value of a key, such as ``preprocessing#transforms``.

        Parts of it whose value cannot be determined are ``Unsupported``; components with ``_disabled_`` are removed.

        Raises:
            ModelError: The key does not exist, cannot be determined, or refers to itself.
        """
        key = _SEPARATOR.sub("#", key)
        if key not in self._values:
            self._values[key] = self._new_value(key)
        value = self._values[key]
        if isinstance(value, Unsupported):
            raise value.error
        return value

    def _new_value(self, key: str) -> Any:
        if key in self._in_progress:
            raise ModelError(f"{key}: refers to itself: {join_names([*self._in_progress, key])}")
        if len(self._in_progress) >= _MAX_REFERENCES:
            raise ModelError(f"{key}: expected at most {_MAX_REFERENCES} references in a row")
        raw = find_key(self._content, key)
        self._used.add(key.partition("#")[0])
        self._in_progress.append(key)
        try:
            value = self._value(raw, key)
        finally:
            self._in_progress.pop()
        try:
            self._add_to_total(_count_values(value, key), key)  # references may repeat values many times
        except ModelError as error:
            return Unsupported(error)  # not counted again for each reference
        return value

    def _add_to_total(self, count: int, key: str) -> None:
        self._count += count
        if self._count > _MAX_TOTAL:
            raise ModelError(f"{key}: the configuration has more than {_MAX_TOTAL} values")

    def _value(self, raw: Any, where: str) -> Any:
        if isinstance(raw, dict):
            values = {name: self._value(item, f"{where}#{name}") for name, item in raw.items()}
            return {name: value for name, value in values.items() if not is_disabled(value)}
        if isinstance(raw, list | tuple):
            items = [self._value(item, f"{where}#{index}") for index, item in enumerate(raw)]
            return [item for item in items if not is_disabled(item)]
        try:
            return self._text(raw, where) if isinstance(raw, str) else raw
        except ModelError as error:
            return Unsupported(error)

    def _text(self, text: str, where: str) -> Any:
        if text.startswith("$"):
            self._add_to_total(0, where)
            value = evaluate(text[1:], self.resolve, self._functions, where)
            self._add_to_total(len(value) if isinstance(value, str | list) else 1, where)  # sums are new values
            return value
        if text.startswith("@"):
            reference = REFERENCE.fullmatch(text)
            if reference is None:
                raise ModelError(f"{where}: expected a reference such as @key#subkey, got {text!r:.80}")
            return self.resolve(reference[1])
        if text.startswith("%"):
            raise ModelError(f"{where}: {text!r:.80}: macros (%) are not supported")
        return text


def top_key(key: str) -> str:
    """Returns the first part of a key."""
    return _SEPARATOR.split(key, maxsplit=1)[0]


def apply_changes(content: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Replaces values of a configuration by their keys; an argument of a component may also be added.

    Raises:
        ModelError: A key does not exist.
    """
    for key, value in changes.items():
        parent_key, _, last = _SEPARATOR.sub("#", key).rpartition("#")
        parent = find_key(content, parent_key) if parent_key else content
        if isinstance(parent, dict) and (last in parent or "_target_" in parent):
            parent[last] = value
        elif isinstance(parent, list) and last.isdecimal() and int(last[:9]) < len(parent):
            parent[int(last)] = value
        else:
            raise _unknown_key(key, parent)


def find_key(content: Any, key: str) -> Any:
    """Returns the value at a key with parts separated by ``#``, unresolved.

    Raises:
        ModelError: The key does not exist.
    """
    value = content
    for part in key.split("#"):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part[:9]) < len(value):
            value = value[int(part[:9])]
        else:
            raise _unknown_key(key, value)
    return value


def _unknown_key(key: str, parent: Any) -> ModelError:
    names = sorted(parent) if isinstance(parent, dict) and len(parent) <= _MAX_SORTED else []
    known = f": expected one of {join_names(names, 12)}" if names else ""
    with_separators = re.sub(r"\.(?=\w)", "#", key)
    hint = similar_keys(key, names)
    if with_separators != key and top_key(with_separators) in names:
        hint = f"parts of keys of a bundle are separated by #: {with_separators}"
    return ModelError(f"{key}: the configuration of the bundle has no such key{known}", hint=hint)


def is_disabled(value: Any) -> bool:
    """Whether a value is a component that MONAI does not build."""
    disabled = value.get("_disabled_", False) if isinstance(value, dict) else False
    return disabled is True or (isinstance(disabled, str) and disabled.lower() == "true")


def _count_values(content: Any, name: str) -> int:
    """Returns the number of values in a value, after checking number and depth."""
    level, count = [content], 0
    for _ in range(_MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            below += _children(value)
            if count + len(below) > MAX_ITEMS:
                raise ModelError(f"{name}: expected at most {MAX_ITEMS} values")
        level, count = below, count + len(below)
        if not level:
            return count
    raise ModelError(f"{name}: expected values nested at most {_MAX_DEPTH} times")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []
