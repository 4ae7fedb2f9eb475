"""Looks into the code of TorchScript archives before torch reads them, because torch runs parts of it at loading."""

from __future__ import annotations

import ast
import re
import zipfile
import zlib
from pathlib import Path

from clickseg.core.errors import ModelError
from clickseg.core.text import first_line

_MAX_CODE_BYTES = 8 << 20
_AT_LOADING = b"__setstate__"
_HOOKS = re.compile(rb"__forward_(pre_)?hooks__\s*=\s*\[\s*[^\]\s]")
_HARMLESS = ("annotate", "complex", "float", "int", "torch.device")
"""What default values may call: numbers that are no literals are written so."""


def check_program_source(path: Path) -> None:
    """Rejects archives with code that torch runs when it loads them: states of objects, and default values.

    Raises:
        ModelError: The archive has such code, or its code cannot be read.
    """
    for name, code in _read_code(path):
        if _AT_LOADING in code:
            raise _runs(path, name, _AT_LOADING.decode())
        try:
            tree = ast.parse(code)
        except (MemoryError, RecursionError, SyntaxError, ValueError) as error:
            raise ModelError(f"{path.name}: not a TorchScript archive: {name}: {first_line(error)}") from error
        if any(_has_call(value) for node in ast.walk(tree) for value in _default_values(node)):
            raise _runs(path, name, "a default value that is computed")


def has_hooks(path: Path) -> bool:
    """Whether a module of an archive has hooks: functions that run before or after it, outside of its code."""
    return any(_HOOKS.search(code) for _, code in _read_code(path))


def _read_code(path: Path) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename.lower().endswith(".py")]
            size = sum(member.file_size for member in members)
            if size > _MAX_CODE_BYTES:
                raise ModelError(f"{path.name}: expected at most {_MAX_CODE_BYTES} bytes of code, got {size}")
            return [(member.filename, archive.read(member)) for member in members]
    except (NotImplementedError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f"{path.name}: its code cannot be read: {first_line(error)}") from error


def _default_values(node: ast.AST) -> list[ast.expr]:
    """Returns the default values of the arguments of a function, or of the fields of a class."""
    if isinstance(node, ast.FunctionDef):
        return [*node.args.defaults, *(value for value in node.args.kw_defaults if value is not None)]
    if isinstance(node, ast.ClassDef):
        return [each.value for each in node.body if isinstance(each, ast.AnnAssign) and each.value is not None]
    return []


def _has_call(value: ast.expr) -> bool:
    calls = (node for node in ast.walk(value) if isinstance(node, ast.Call))
    return any(ast.unparse(call.func) not in _HARMLESS for call in calls)


def _runs(path: Path, name: str, what: str) -> ModelError:
    return ModelError(
        f"{path.name}: {name}: contains {what}, which torch would run at loading: it is not loaded",
        hint="export the network without it, or save only the weights: torch.save(network.state_dict(), FILE)",
    )
