"""Runs any MONAI Deploy application as Python would, and says which operator failed where one did.

``python -m clickseg.app_runner ENTRY ARGUMENT...``: the application sees itself as the main program.
"""

from __future__ import annotations

import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType


def main(argv: Sequence[str]) -> int:
    """Runs an application.

    Args:
        argv: Its folder or file, and its arguments.

    Returns:
        1 where it raised an error, or an operator ended the process; an application that ends by itself decides.
    """
    entry = Path(argv[0])
    sys.argv[:] = argv
    sys.path[0] = str(entry if entry.is_dir() else entry.parent)
    try:
        runpy.run_path(str(entry), run_name="__main__")
    except SystemExit as stop:
        name = failed_operator(stop.__traceback__)
        if name is None:
            raise
        sys.stderr.write(f"error: operator {name} failed: it ended the process with {stop.code!r}\n")
        return stop.code if isinstance(stop.code, int) and stop.code else 1
    except Exception as error:  # noqa: BLE001 - whatever an application raises
        traceback.print_exc()
        name = failed_operator(error.__traceback__)
        where = f"operator {name}" if name else "the application"
        sys.stderr.write(f"error: {where} failed: {type(error).__name__}: {error}\n")
        return 1
    return 0


def failed_operator(trace: TracebackType | None) -> str | None:
    """Returns the name of the operator in whose method an error was raised, by the innermost such frame."""
    found = None
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        if any(base.__name__ == "Operator" for base in type(owner).__mro__):
            found = str(getattr(owner, "name", "") or type(owner).__name__)
        trace = trace.tb_next
    return found


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
