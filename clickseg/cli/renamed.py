"""Commands and options that were renamed: using an old name is an error that contains the new name.

Environment variables of renamed options are checked where variables are read: ``clickseg.core.options``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from clickseg.core.errors import UsageError

RENAMED_COMMANDS = {"export": "models export"}
"""The old and the new name of each renamed command."""

RENAMED_OPTIONS = {
    "clicks": {"--series": "--dicom"},
    "evaluate": {"--clicks": "--steps", "--truth": "--truth-names"},
    "inspect": {"--remedy": "--repair"},
    "refine": {"--remedy": "--repair"},
    "segment": {"--remedy": "--repair"},
}
"""The old and the new name of each renamed option, by command."""


def reject_renamed_command(argv: Sequence[str]) -> None:
    """Rejects arguments that begin with the old name of a command.

    Args:
        argv: The arguments, without the program's name.

    Raises:
        UsageError: The command was renamed.
    """
    for old, new in RENAMED_COMMANDS.items():
        words = old.split()
        if list(argv[: len(words)]) == words:
            raise UsageError(f"clickseg {old} was renamed to clickseg {new}")


def add_renamed_options(parser: argparse.ArgumentParser, command: str) -> None:
    """Adds the old names of a command's options to its parser, without help; using one raises a ``UsageError``."""
    for old, new in RENAMED_OPTIONS.get(command, {}).items():
        parser.add_argument(old, action=_RenamedOption, nargs="?", new_name=new)


class _RenamedOption(argparse.Action):
    """Rejects the old name of an option, with or without a value."""

    def __init__(self, option_strings: Sequence[str], dest: str, new_name: str, nargs: str) -> None:
        super().__init__(option_strings, dest, nargs=nargs, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        self._new_name = new_name

    def __call__(self, *_: Any) -> None:
        """Raises the error, whatever the value."""
        raise UsageError(f"{self.option_strings[0]} was renamed to {self._new_name}")
