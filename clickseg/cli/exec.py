"""``clickseg exec``: runs a MONAI Deploy application as a local process.

It replaces ``monai-deploy exec``, which current versions of the MONAI Deploy App SDK no longer have.
"""

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
from clickseg.inference.engines.cuda_runtime import cuda_library_folders

_FLAGS = {"input": "-i", "output": "-o", "model": "-m", "workdir": "-w", "log_level": "-l"}


def run(arguments: argparse.Namespace) -> NoReturn:
    """Runs the command: the application replaces this process."""
    execute(arguments.app, {name: getattr(arguments, name) for name in _FLAGS}, os.environ)


def execute(app: Path, options: Mapping[str, object], environ: Mapping[str, str]) -> NoReturn:
    """Replaces this process by an application, which then receives the signals and sets the exit code.

    Args:
        app: The application: a folder with ``__main__.py`` or ``app.py``, or a Python file.
        options: ``input``, ``output``, ``model``, ``workdir`` and ``log_level``; None if an option was not given.
        environ: The environment of the application; the CUDA runtime of this Python environment is added to it.

    Raises:
        UsageError: No application exists at the path.
    """
    flags = [word for name, value in options.items() if value is not None for word in (_FLAGS[name], str(value))]
    sys.stdout.flush()
    command = [sys.executable, "-m", "clickseg.cli.exec", str(_entry_point(app)), *flags]
    os.execve(sys.executable, command, _add_cuda_runtime(environ))  # noqa: S606 - the user names the application


def _entry_point(app: Path) -> Path:
    """Returns the path that Python runs: a file, a folder with ``__main__.py``, or the ``app.py`` of a folder."""
    if app.is_file() or (app / "__main__.py").is_file():
        return app
    if (app / "app.py").is_file():
        return app / "app.py"
    raise UsageError(f"{app}: expected an application: a Python file, or a folder with __main__.py or app.py")


def _add_cuda_runtime(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment in which the libraries of the CUDA runtime are found."""
    folders = [environ.get("LD_LIBRARY_PATH", ""), *(str(folder) for folder in cuda_library_folders())]
    return {**environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, folders))}


def main(argv: Sequence[str]) -> int:
    """Runs an application.

    Args:
        argv: The folder or file that Python runs, and the arguments of the application.

    Returns:
        The exit code. If the application raised an error, it is 1. If an operator ended the process, it is the
        operator's exit code, or 1 instead of 0. An application that ends the process itself sets its own exit code.
    """
    entry_point = Path(argv[0])
    sys.argv[:] = argv
    sys.path[0] = str(entry_point if entry_point.is_dir() else entry_point.parent)
    try:
        runpy.run_path(str(entry_point), run_name="__main__")
    except SystemExit as stop:
        name = failed_operator(stop.__traceback__)
        if name is None:
            raise
        sys.stderr.write(f"error: operator {name} failed: it ended the process with {stop.code!r}\n")
        return stop.code if isinstance(stop.code, int) and stop.code else 1
    except Exception as error:  # noqa: BLE001 - an application may raise any error
        traceback.print_exc()
        name = failed_operator(error.__traceback__)
        failed = f"operator {name}" if name else "the application"
        sys.stderr.write(f"error: {failed} failed: {type(error).__name__}: {error}\n")
        return 1
    return 0


def failed_operator(trace: TracebackType | None) -> str | None:
    """Returns the name of the operator whose method raised an error; None if no operator did.

    If methods of several operators are in the traceback, the innermost one is returned.
    """
    operator = None
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        if any(base.__name__ == "Operator" for base in type(owner).__mro__):
            operator = str(getattr(owner, "name", "") or type(owner).__name__)
        trace = trace.tb_next
    return operator


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
