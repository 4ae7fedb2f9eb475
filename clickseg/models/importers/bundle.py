"""Stub."""

from __future__ import annotations

from pathlib import Path

from clickseg.core.errors import ModelError
from clickseg.models.importers.source_model import ImportOptions, SourceModel


class BundleReader:
    """Stub."""

    format = "bundle"
    is_program = False

    def recognizes(self, path: Path) -> bool:
        """Stub."""
        return False

    def files(self, path: Path) -> tuple[Path, ...]:
        """Stub."""
        return ()

    def read(self, path: Path, options: ImportOptions) -> SourceModel:
        """Stub."""
        raise ModelError(str(path), hint=str(options))
