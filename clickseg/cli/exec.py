"""``clickseg exec``: what ``monai-deploy exec`` was, for the applications of today."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from clickseg.core.errors import UsageError
from clickseg.inference.engines.cuda_runtime import library_folders

_FLAGS = {"input": "-i", "output": "-o", "model": "-m", "workdir": "-w", "log_level": "-l"}


def run(arguments: argparse.Namespace) -> NoReturn:
    """Runs the command: this process becomes the application's."""
    execute(arguments.app, {name: getattr(arguments, name) for name in _FLAGS}, os.environ)


def execute(app: Path, options: Mapping[str, object], environ: Mapping[str, str]) -> NoReturn:
    """Becomes the process of an application, so that signals reach it and its exit code is the command's.

    Args:
        app: Its folder (with ``__main__.py`` or ``app.py``) or file.
        options: ``input``, ``output``, ``model``, ``workdir`` and ``log_level``; those that are None are not passed on.
        environ: The environment; the application gets it, with the CUDA runtime of this Python environment.

    Raises:
        UsageError: There is no application.
    """
    flags = [part for name, value in options.items() if value is not None for part in (_FLAGS[name], str(value))]
    sys.stdout.flush()
    command = [sys.executable, "-m", "clickseg.cli.exec", str(_entry(app)), *flags]
    os.execve(sys.executable, command, _with_cuda_runtime(environ))  # noqa: S606 - what the user names


def _entry(app: Path) -> Path:
    """Returns what Python runs: the folder where it has a ``__main__.py``, else its ``app.py``, else the file."""
    if app.is_file() or (app / "__main__.py").is_file():
        return app
    if (app / "app.py").is_file():
        return app / "app.py"
    raise UsageError(f"no application at {app}: expected a Python file, or a folder with __main__.py or app.py")


def _with_cuda_runtime(environ: Mapping[str, str]) -> dict[str, str]:
    folders = [environ.get("LD_LIBRARY_PATH", ""), *(str(folder) for folder in library_folders())]
    return {**environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, folders))}


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
