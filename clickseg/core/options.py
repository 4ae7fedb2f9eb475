"""The options of a run by name: on the command line ``--name``, in the environment ``CLICKSEG_NAME``."""

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
    """Returns the value of an option; None where it is not set.

    Args:
        name: Its name on the command line, such as ``memory-limit``.
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
