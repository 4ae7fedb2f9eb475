"""Components of a configuration: objects with ``_target_``, whose arguments are read one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.core.text import join_names
from clickseg.models.importers.monai_bundle.config import Unsupported

_MAX_NUMBER = 1e15
_MAX_COMPONENTS = 200
_COMPONENT_KEYS = frozenset({"_target_", "_desc_", "_disabled_"})


@dataclass(frozen=True, slots=True)
class Component:
    """An object that MONAI builds from a class.

    Attributes:
        key: Its key in the configuration, such as ``preprocessing#transforms#2``.
        target: The class, as the source names it.
        arguments: The arguments of its constructor.
    """

    key: str
    target: str
    arguments: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the class in MONAI, such as ``Spacingd``, which has the alias ``SpacingDict``."""
        name = self.target.rpartition(".")[2]
        for alias in ("Dict", "D"):
            if name.endswith(alias) and len(name) > len(alias):
                return f"{name.removesuffix(alias)}d"
        return name

    @property
    def is_of_monai(self) -> bool:
        """Whether the class is MONAI's, and not defined by the bundle."""
        return "." not in self.target or self.target.startswith("monai.")

    def error(self, problem: str, hint: str | None = None) -> ModelError:
        """Returns an error about this component."""
        return ModelError(f"{self.key}: {self.target}: {problem}", hint=hint)

    def check_arguments(self, known: Sequence[str]) -> None:
        """Rejects arguments that are not known.

        Raises:
            ModelError: An argument is not among them.
        """
        unknown = [name for name in self.arguments if name not in known]
        if unknown:
            raise self.error(f"the argument {unknown[0]} is not supported: expected {join_names(known, 12)}")

    def value(self, name: str, default: Any) -> Any:
        """Returns the value of an argument.

        Raises:
            ModelError: It cannot be determined.
        """
        value = self.arguments.get(name, default)
        if isinstance(value, Unsupported):
            raise value.error
        return value

    def expect(self, name: str, *allowed: Any) -> None:
        """Checks that an argument has one of some values, of which the first is its default, or a list of only those.

        Raises:
            ModelError: It has another value.
        """
        value = self.value(name, allowed[0])
        for item in value if isinstance(value, list) and value else [value]:
            if not any(item == one and isinstance(item, bool) == isinstance(one, bool) for one in allowed):
                expected = " or ".join(repr(one) for one in allowed)
                raise self.error(f"{name}: expected {expected}, got {item!r:.80}")

    def flag(self, name: str, default: bool) -> bool:
        """Returns a boolean; some bundles write it as text.

        Raises:
            ModelError: It is not a boolean.
        """
        value = _single(self.value(name, default))
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise self.error(f"{name}: expected true or false, got {value!r:.80}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """Returns a number.

        Raises:
            ModelError: It is missing without a default, or is not a finite number.
        """
        value = _single(self.value(name, default))
        if not is_number(value):
            raise self.error(f"{name}: expected a number, got {value!r:.80}")
        number: float = value
        return number

    def optional_number(self, name: str, default: float | None = None) -> float | None:
        """Returns a number, or None if the argument is null.

        Raises:
            ModelError: It is neither.
        """
        return None if self.value(name, default) is None else self.number(name, default)

    def three_numbers(self, name: str, default: float | None = None) -> tuple[float, float, float]:
        """Returns one number for each axis; a single number is that of all axes.

        Raises:
            ModelError: It is neither a number nor a list of three.
        """
        value = self.value(name, default)
        values = [value] * 3 if is_number(value) else value
        if not isinstance(values, list) or len(values) != 3 or not all(is_number(item) for item in values):
            raise self.error(f"{name}: expected a number or three numbers, got {value!r:.80}")
        return values[0], values[1], values[2]

    def texts(self, name: str) -> tuple[str, ...]:
        """Returns one or more texts; empty if the argument is missing.

        Raises:
            ModelError: It is something else.
        """
        value = self.value(name, [])
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
            raise self.error(f"{name}: expected a text or a list of texts, got {value!r:.80}")
        return tuple(values)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number of a usual size."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= _MAX_NUMBER


def read_component(value: Any, key: str) -> Component:
    """Returns the component at a key.

    Raises:
        ModelError: The value is not a component, or has keys that MONAI evaluates before it is built.
    """
    if isinstance(value, Unsupported):
        raise value.error
    target = value.get("_target_") if isinstance(value, dict) else None
    if isinstance(target, Unsupported):
        raise target.error
    if not isinstance(target, str) or not target:
        raise ModelError(f"{key}: expected an object with _target_, got {value!r:.80}")
    special = [name for name in value if name.startswith("_") and name not in _COMPONENT_KEYS]
    if special:
        raise ModelError(f"{key}: {target}: {special[0]} is not supported")
    return Component(key, target[:200], {name: item for name, item in value.items() if name not in _COMPONENT_KEYS})


def read_transforms(value: Any, key: str) -> list[Component]:
    """Returns the transforms at a key, in order: of a ``Compose``, of a list, or of several in each other.

    Raises:
        ModelError: The value is neither.
    """
    if isinstance(value, Unsupported):
        raise value.error
    if not isinstance(value, list):
        component = read_component(value, key)
        if component.name != "Compose" or not component.is_of_monai:
            return [component]
        component.check_arguments(("transforms", "map_items", "unpack_items", "log_stats", "lazy", "overrides"))
        component.expect("overrides", None)
        return read_transforms(component.value("transforms", []), f"{key}#transforms")
    transforms = [one for index, item in enumerate(value) for one in read_transforms(item, f"{key}#{index}")]
    if len(transforms) > _MAX_COMPONENTS:
        raise ModelError(f"{key}: expected at most {_MAX_COMPONENTS} transforms")
    return transforms


def _single(value: Any) -> Any:
    """Returns the item of a list with one item: MONAI accepts one value for each key."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
