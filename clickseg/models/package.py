"""A model package on disk: a MONAI Bundle folder, or a TorchScript file with embedded metadata."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from typing_extensions import Self

from clickseg.core.errors import ModelError
from clickseg.core.files import file_sha256
from clickseg.core.validation import MAX_JSON_BYTES, parse_json, read_json, validate_record
from clickseg.models.importers.source_model import ImportOptions, Outcome
from clickseg.models.spec import GridSpec, ModelSpec

TORCHSCRIPT = "model.ts"
METADATA = Path("configs", "metadata.json")
INFERENCE_CONFIG = Path("configs", "inference.json")
"""The file that defines the torch network: the weights do not contain its complete definition."""

_SECTION = "clickseg"

IMPORT_SECTION = "clickseg_import"
"""The section of the metadata of a translated model: its format, and what was done with each key of its source."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A weights file and the SHA-256 of its content."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """One model package.

    Attributes:
        name: The name of its folder, or of its TorchScript file without suffix.
        path: The folder, or the TorchScript file.
        version: The version in its metadata.
        spec: The ``clickseg`` section of its metadata.
        assumptions: What was assumed when a model of another tool was translated, because its source does not state it.
        differences: How a translated model deliberately differs from the original tool.
        import_options: What the user stated about a model of another tool that this run translated; None for a package.
        may_run_script: Whether its TorchScript program is run without ``--engine torch``: the user named its file.
    """

    name: str
    path: Path
    version: str
    spec: ModelSpec
    assumptions: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    import_options: ImportOptions | None = None
    may_run_script: bool = False

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of series that the model can segment."""
        return self.spec.inputs[0].modalities

    @property
    def modalities_text(self) -> str:
        """The modalities of all inputs as text: ``PT + CT`` if the model needs both, ``PT or CT`` for either."""
        return " + ".join(" or ".join(image.modalities) for image in self.spec.inputs)

    @property
    def import_notes(self) -> dict[str, list[str]]:
        """What users of a translated model should know, for reports; only the kinds of notes that it has."""
        notes = {"assumptions": self.assumptions, "differences": self.differences}
        return {kind: list(texts) for kind, texts in notes.items() if texts}

    def for_modality(self, modality: str) -> Self:
        """Returns the package with the settings for one of its modalities."""
        return replace(self, spec=self.spec.for_modality(modality))

    def with_grid(self, grid: GridSpec) -> Self:
        """Returns the package with another model grid."""
        return replace(self, spec=self.spec.model_copy(update={"grid": grid}))

    def has_weights(self, weights: str) -> bool:
        """Whether the package contains a weights file of this name, such as ``model.xml``."""
        return self._weights_path(weights).is_file() if self.path.is_dir() else weights == TORCHSCRIPT

    def verify_weights(self, name: str) -> WeightsFile:
        """Returns a weights file after checking its SHA-256 against the metadata.

        A single TorchScript file cannot contain its own digest: it is accepted unchecked, because the user named it.

        Raises:
            ModelError: The file is missing, the metadata contain no digest of it, or its digest differs.
        """
        if not self.has_weights(name):
            raise ModelError(f"model {self.name}: no {name} among its weights")
        path = self._weights_path(name)
        digest = file_sha256(path)
        expected = self.spec.weights.get(name) if self.path.is_dir() else digest
        if digest != expected:
            raise ModelError(
                f"model {self.name}: {name}: expected SHA-256 {expected or 'in clickseg.weights of metadata.json'}, "
                f"got {digest}"
            )
        return WeightsFile(path, digest)

    def _weights_path(self, name: str) -> Path:
        return self.path / "models" / name if self.path.is_dir() else self.path


def is_package(path: Path) -> bool:
    """Whether a path is a bundle folder or a TorchScript file with a ``clickseg`` section in its metadata."""
    if not (path / METADATA).is_file() and not (path.suffix == ".ts" and path.is_file()):
        return False
    try:
        metadata = _read_metadata(path) if path.is_dir() else _read_embedded_metadata(path)
    except ModelError:
        return path.is_dir()  # a damaged package: the error is reported when it is loaded
    return isinstance(metadata, dict) and _SECTION in metadata


def package_name(path: Path) -> str:
    """Returns the name of a package: the name of its folder, or of its TorchScript file without suffix."""
    return path.resolve().name if path.is_dir() else path.stem


def load_package(path: Path) -> ModelPackage:
    """Reads the metadata of a package; its weights are read when an engine is made.

    Raises:
        ModelError: The metadata are missing, invalid or inconsistent.
    """
    name = package_name(path)
    metadata = _read_metadata(path) if path.is_dir() else _read_embedded_metadata(path)
    if not isinstance(metadata, dict) or _SECTION not in metadata:
        raise ModelError(
            f"model {name}: its metadata contain no {_SECTION} section",
            hint="models of other tools are translated with `clickseg models import`",
        )
    spec = validate_record(ModelSpec, metadata[_SECTION], f"model {name}: metadata.json: {_SECTION}", ModelError)
    return ModelPackage(
        name,
        path,
        str(metadata.get("version", "0")),
        spec,
        assumptions=_read_notes(metadata, Outcome.ASSUMED),
        differences=_read_notes(metadata, Outcome.DIFFERENT),
        may_run_script=path.is_file(),
    )


def _read_notes(metadata: dict[str, Any], outcome: Outcome) -> tuple[str, ...]:
    """Returns notes about a translated model; it has none if its metadata were edited beyond recognition."""
    section = metadata.get(IMPORT_SECTION)
    notes = section.get("notes") if isinstance(section, dict) else None
    entries = [note for note in notes if isinstance(note, dict)] if isinstance(notes, list) else []
    return tuple(f"{note.get('key')}: {note.get('text')}" for note in entries if note.get("outcome") == outcome.value)


def _read_metadata(path: Path) -> Any:
    try:
        return read_json(path / METADATA, ModelError)
    except ModelError as error:
        raise ModelError(f"model {package_name(path)}: {error}") from error


def _read_embedded_metadata(path: Path) -> Any:
    """Returns the metadata that ``monai.bundle ckpt_export`` embeds in a TorchScript archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("/extra/metadata.json")]
            content = archive.open(names[0]).read(MAX_JSON_BYTES + 1) if names else b""
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file or folder", hint="`clickseg models list` shows the models") from error
    except (OSError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f"{path}: neither a bundle folder nor a TorchScript archive") from error
    if not names:
        raise ModelError(f"{path.name}: a TorchScript archive without extra/metadata.json")
    return parse_json(content, f"{path.name}: extra/metadata.json", ModelError)
