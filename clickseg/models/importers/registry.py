"""The readers of all formats, chosen by the files of the model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from clickseg.core.errors import ModelError
from clickseg.core.files import file_sha256
from clickseg.core.text import escape_surrogates
from clickseg.core.validation import validate_record
from clickseg.core.version import __version__
from clickseg.models.importers.auto3dseg.reader import Auto3DSegReader
from clickseg.models.importers.changes import change_section
from clickseg.models.importers.monai_bundle.reader import BundleReader, describe_bundle
from clickseg.models.importers.nnunet.reader import NnUNetReader
from clickseg.models.importers.sections import check_unit, printable_text
from clickseg.models.importers.source_model import ImportOptions, Reader, SourceModel
from clickseg.models.importers.totalsegmentator.reader import TotalSegmentatorReader
from clickseg.models.importers.used_options import check_used_options
from clickseg.models.importers.weights.checkpoint import CheckpointReader
from clickseg.models.importers.weights.identification import NetworkBuilder
from clickseg.models.importers.weights.torchscript import TorchScriptReader
from clickseg.models.spec import ModelSpec

FORMATS_TEXT = (
    "a MONAI Bundle, an Auto3DSeg zip, a trained model of nnU-Net, models of TotalSegmentator, a checkpoint of torch, "
    "or a TorchScript file"
)
"""What ``-m`` accepts besides model packages."""

ZIP_HINT = "a MONAI Bundle is a folder: unpack the zip file, and name the folder"
"""What to do with a zip file of another format; that of MONAIAuto3DSeg is read as a zip file."""

FILE_SUFFIXES = (".ckpt", ".pt", ".pth", ".ts", ".zip")
"""The suffixes of models that are files."""

_MAX_NAME = 128
"""The largest length of the name of a model."""


def make_readers(build: NetworkBuilder) -> tuple[Reader, ...]:
    """Returns the readers of all formats.

    Args:
        build: Builds a network, which proves that weights fit it.
    """
    return (
        BundleReader(),
        Auto3DSegReader(),
        TotalSegmentatorReader(build),
        NnUNetReader(build),
        TorchScriptReader(build, describe_bundle),
        CheckpointReader(build),
    )


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A model of another tool, translated.

    Attributes:
        source: The model, as its reader describes it.
        spec: The validated description, without digests of weights.
        format: The name of the source's format.
        digest: The SHA-256 of the source, of what the user states about it, and of the readers.
    """

    source: SourceModel
    spec: ModelSpec
    format: str
    digest: str


def read_model(path: Path, reader: Reader, options: ImportOptions) -> ImportedModel:
    """Reads a model of another tool, and translates its description.

    Args:
        path: The folder or file of the model.
        reader: The reader that recognizes it.
        options: What the user states about it.

    Raises:
        ModelError: The model cannot be expressed as a model package.
        UsageError: An option has no effect on this model.
        LibraryError: A library that the format needs is not installed.
    """
    source = reader.read(path, options)
    source = replace(source, name=printable_text(escape_surrogates(source.name), _MAX_NAME) or "model")
    check_used_options(source, options, reader.format)
    section = change_section(source.section, options.changes)
    spec = validate_record(ModelSpec, section, f"model {source.name}: translated from {reader.format}", ModelError)
    _check_units(spec, source.name)
    return ImportedModel(source, spec, reader.format, source_digest(path, reader, options))


@cache
def _translator_digest() -> str:
    """Returns a SHA-256 of the readers: another version of them may translate a model differently."""
    folder = Path(__file__).parent
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".json"))
    digests = {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}
    return hashlib.sha256(json.dumps([__version__, digests]).encode()).hexdigest()


def _check_units(spec: ModelSpec, name: str) -> None:
    """Rejects units that images of a modality do not have."""
    for number, image in enumerate(spec.inputs):
        for each in image.image_specs:
            check_unit(each.modality, each.unit, f"model {name}: inputs.{number}.unit")


def source_digest(path: Path, reader: Reader, options: ImportOptions) -> str:
    """Returns a SHA-256 of everything that the translation of a model depends on.

    Raises:
        ModelError: A file of the model cannot be read.
    """
    try:
        files = {str(file.relative_to(path.parent)): file_sha256(file) for file in sorted(reader.files(path))}
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    depends_on = {
        "translator": _translator_digest(),
        "format": reader.format,
        "files": files,
        "options": asdict(options),
    }
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
