"""Options of a run: ``--name`` on the command line, ``CLICKSEG_NAME`` in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from clickseg.core.errors import UsageError

E = TypeVar("E", bound=Enum)

_OLD_NAMES = {"repair": "remedy"}
"""The old name of each renamed option, by its new name."""


def environment_variable(name: str) -> str:
    """Returns the environment variable of an option."""
    return "CLICKSEG_" + name.upper().replace("-", "_")


def option_value(name: str, options: Mapping[str, str | None], environ: Mapping[str, str]) -> str | None:
    """Returns the value of an option, or None if it is not set.

    Args:
        name: The name of the option on the command line, such as ``memory-limit``.
        options: Values by name, from the command line. They override the environment.
        environ: Environment variables. An empty variable is ignored.

    Raises:
        UsageError: The environment variable of the old name of the option is set.
    """
    old_name = _OLD_NAMES.get(name)
    if old_name is not None and environ.get(environment_variable(old_name)):
        old, new = environment_variable(old_name), environment_variable(name)
        raise UsageError(f"the environment variable {old} was renamed to {new}")
    value = options.get(name)
    return value if value is not None else environ.get(environment_variable(name)) or None


def parse_choice(choices: type[E], value: str, name: str) -> E:
    """Returns the member of an enumeration with the value of an option.

    Raises:
        UsageError: No member has this value.
    """
    try:
        return choices(value)
    except ValueError as error:
        raise UsageError(
            f"{name}: expected one of {', '.join(str(member.value) for member in choices)}, got {value!r}"
        ) from error


def parse_switch(value: str, name: str) -> bool:
    """Returns whether an option is switched on.

    Raises:
        UsageError: The value means neither on nor off.
    """
    if value.lower() in ("on", "1", "true", "yes"):
        return True
    if value.lower() in ("off", "0", "false", "no"):
        return False
    raise UsageError(f"{name}: expected on or off, got {value!r}")
