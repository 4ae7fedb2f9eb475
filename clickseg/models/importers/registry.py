"""The readers of all formats, chosen by what lies on disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from clickseg.core.errors import ModelError
from clickseg.core.files import file_sha256
from clickseg.core.validation import validate_record
from clickseg.core.version import __version__
from clickseg.models.importers.auto3dseg import Auto3DSegReader
from clickseg.models.importers.bundle import BundleReader
from clickseg.models.importers.changes import change_section
from clickseg.models.importers.checkpoint import CheckpointReader
from clickseg.models.importers.source_model import ImportOptions, Reader, SourceModel
from clickseg.models.importers.torchscript import TorchScriptReader
from clickseg.models.spec import ModelSpec

FORMATS_TEXT = "a MONAI Bundle, an Auto3DSeg zip, a checkpoint of torch, or a TorchScript file"
"""What ``-m`` accepts besides model packages."""

READERS: tuple[Reader, ...] = (BundleReader(), Auto3DSegReader(), TorchScriptReader(), CheckpointReader())
"""The readers of all formats."""


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A model of another tool, translated.

    Attributes:
        source: The model, as its reader describes it.
        spec: The validated description, without digests of weights.
        format: The name of the source's format.
        digest: The SHA-256 of the source, of what the user states about it, and of the version of ClickSeg.
    """

    source: SourceModel
    spec: ModelSpec
    format: str
    digest: str


def find_reader(path: Path) -> Reader | None:
    """Returns the reader of the model at a path, or None if there is no model that one of the readers recognizes."""
    return next((reader for reader in READERS if reader.recognizes(path)), None)


def read_model(path: Path, options: ImportOptions) -> ImportedModel:
    """Reads a model of another tool, and translates its description.

    Args:
        path: The folder or file of the model.
        options: What the user states about it.

    Raises:
        ModelError: No reader recognizes the model, or it cannot be expressed as a model package.
        LibraryError: A library that the format needs is not installed.
    """
    reader = find_reader(path)
    if reader is None:
        raise ModelError(f"{path}: expected a model: {FORMATS_TEXT}" if path.exists() else f"{path}: no such file")
    source = reader.read(path, options)
    section = change_section(source.section, options.changes)
    where = f"model {source.name}: translated from {reader.format}"
    spec = validate_record(ModelSpec, section, where, ModelError)
    return ImportedModel(source, spec, reader.format, source_digest(path, reader, options))


def source_digest(path: Path, reader: Reader, options: ImportOptions) -> str:
    """Returns a SHA-256 of everything that the translation of a model depends on.

    Raises:
        ModelError: A file of the model cannot be read.
    """
    try:
        files = {str(file.relative_to(path.parent)): file_sha256(file) for file in sorted(reader.files(path))}
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    depends_on = {"clickseg": __version__, "format": reader.format, "files": files, "options": asdict(options)}
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
