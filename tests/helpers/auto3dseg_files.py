"""The zip file of a model of MONAIAuto3DSeg."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def write_auto3dseg_zip(path: Path, checkpoint: Mapping[str, Any], table: str, *, folder: str = "") -> Path:
    """Writes a model of MONAIAuto3DSeg; returns the zip file.

    Args:
        path: The zip file.
        checkpoint: The content of ``model.pt``: ``config``, ``state_dict`` and others.
        table: The content of ``labels.csv``.
        folder: The folder in the zip file, with a slash; empty for none.
    """
    content = io.BytesIO()
    torch.save(dict(checkpoint), content)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{folder}model.pt", content.getvalue())
        archive.writestr(f"{folder}labels.csv", table)
    return path
