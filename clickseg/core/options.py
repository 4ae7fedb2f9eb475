"""Options of a run: ``--name`` on the command line, ``CLICKSEG_NAME`` in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from clickseg.core.errors import UsageError

E = TypeVar("E", bound=Enum)


def variable(name: str) -> str:
    """Returns the environment variable of an option."""
    return "CLICKSEG_" + name.upper().replace("-", "_")


def option_value(name: str, options: Mapping[str, str | None], environ: Mapping[str, str]) -> str | None:
    """Returns the value of an option, or None if it is not set.

    Args:
        name: The name of the option on the command line, such as ``memory-limit``.
        options: Values by name, from the command line. They override the environment.
        environ: Environment variables. An empty variable is ignored.
    """
    value = options.get(name)
    return value if value is not None else environ.get(variable(name)) or None


def choice(choices: type[E], value: str, name: str) -> E:
    """Returns the member of an enumeration with the value of an option.

    Raises:
        UsageError: No member has this value.
    """
    try:
        return choices(value)
    except ValueError as error:
        raise UsageError(
            f"{name}: expected {', '.join(str(member.value) for member in choices)}, got {value!r}"
        ) from error


def switch(value: str, name: str) -> bool:
    """Returns whether an option is switched on.

    Raises:
        UsageError: The value means neither on nor off.
    """
    if value.lower() in ("on", "1", "true", "yes"):
        return True
    if value.lower() in ("off", "0", "false", "no"):
        return False
    raise UsageError(f"{name}: expected on or off, got {value!r}")
