"""Files that try to execute a program or to exhaust the memory when they are read as a model."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from torch._utils import _rebuild_tensor_v2

LABELS = "LabelValue,Name\n0,background\n1,spleen\n"


class Call:
    """An object whose pickle calls a function, and then sets a state."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self._reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduced


def programs(canary: Path) -> dict[str, Any]:
    """Returns objects whose pickles create the canary, or that trust the numbers in the file."""
    command, code = f"touch '{canary}'", f"open({str(canary)!r}, 'w').close()"
    trusted_dtype = Call(np.dtype, "f8", False, True, state=(3, "<", None, None, None, -1, -1, 0x3F))
    return {
        "system": Call(os.system, command),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "open": Call(open, str(canary), "w"),
        "getattr": Call(getattr, os, "system"),
        "torch.load": Call(torch.load, str(canary)),
        "torch.jit.load": Call(torch.jit.load, str(canary)),
        "network": torch.nn.Linear(2, 2),
        "tensor of objects": Call(_rebuild_tensor_v2, Call(os.system, command), 0, (2,), (1,), False, {}),
        "array of objects": np.array([Call(os.system, command)], dtype=object),
        "number of objects": Call(multiarray.scalar, np.dtype("O"), pickle.dumps(Call(os.system, command))),
        "flags of memory": Call(
            multiarray._reconstruct,
            np.ndarray,
            (0,),
            b"b",
            state=(1, (4,), trusted_dtype, False, [Call(os.system, command)]),
        ),
        "array without bytes": Call(np.ndarray, (1 << 40,), "f8"),
        "array of another length": Call(
            multiarray._reconstruct,
            np.ndarray,
            (0,),
            b"b",
            state=(1, (1 << 30,), np.dtype("f8"), False, b"12345678"),
        ),
    }


def legacy_file(content: Any) -> bytes:
    """Returns a file of ``torch.save`` in the format before zip archives."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def write_zip(path: Path, members: Mapping[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Writes a zip file; returns its path."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def add_member(path: Path, name: str, zeros: int) -> Path:
    """Adds a member of zeros, which deflate compresses a thousand times, to a zip file; returns its path."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        for _ in range(zeros >> 20):
            member.write(bytes(1 << 20))
    return path
