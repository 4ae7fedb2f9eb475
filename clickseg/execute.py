"""``clickseg exec``: what ``monai-deploy exec`` was, for the applications of today."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from clickseg.cuda_runtime import library_folders
from clickseg.errors import UsageError

_FLAGS = {"input": "-i", "output": "-o", "model": "-m", "workdir": "-w", "log_level": "-l"}


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
    command = [sys.executable, "-m", "clickseg.app_runner", str(_entry(app)), *flags]
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
