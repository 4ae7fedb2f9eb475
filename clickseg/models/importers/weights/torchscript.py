"""Reads TorchScript archives: by their weights where the network is known, so that the program need not be run."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickseg.core.errors import ModelError
from clickseg.core.text import first_line
from clickseg.core.validation import MAX_JSON_BYTES, parse_json
from clickseg.models.importers.archives import TORCH_SCRIPT, archive_kind, check_content_size
from clickseg.models.importers.source_model import ImportNote, ImportOptions, Outcome, SourceModel
from clickseg.models.importers.torch_files import import_torch
from clickseg.models.importers.weights.description import (
    Channels,
    describe,
    described_files,
    read_description,
    used_options,
)
from clickseg.models.importers.weights.identification import (
    Identified,
    NetworkBuilder,
    check_changes,
    identify,
    network_changes,
    without_network_changes,
)
from clickseg.models.importers.weights.program_agreement import find_difference
from clickseg.models.importers.weights.program_code import computes_the_same, traced_sizes
from clickseg.models.importers.weights.program_source import check_program_source, has_hooks

if TYPE_CHECKING:
    import torch

BundleDescriber = Callable[[Mapping[str, Any], Mapping[str, Any], ImportOptions, str], SourceModel]
"""Describes a model by the configuration and the metadata of a MONAI Bundle.

The arguments are ``inference.json``, ``metadata.json``, the options, and the name of the model. The result has no
weights; its ``network_def`` is None if the network cannot be expressed.
"""

_SUFFIXES = (".ts", ".zip", ".pt")
_LOAD_ERRORS = (ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)
_SEPARATOR = re.compile(r"\.|#|::")
_CONFIG, _METADATA = "inference.json", "metadata.json"


class TorchScriptReader:
    """The reader of TorchScript archives, scripted or traced.

    If the weights and the code of the program are those of a network of MONAI, the network is used, and the program is
    never run. The rest is described by the configuration that ``monai.bundle ckpt_export`` embeds, by a preset, or
    by a JSON file next to the archive.
    """

    format = "TorchScript"
    is_program = True

    def __init__(self, build: NetworkBuilder, describe_bundle: BundleDescriber | None = None) -> None:
        """Makes a reader.

        Args:
            build: Builds a network, to prove that all weights fit.
            describe_bundle: Describes a model by an embedded configuration; None to ignore it.
        """
        self._build, self._describe_bundle = build, describe_bundle

    def recognizes(self, path: Path) -> bool:
        """Whether a path is a TorchScript archive."""
        return path.suffix.lower() in _SUFFIXES and archive_kind(path) == TORCH_SCRIPT

    def files(self, path: Path) -> tuple[Path, ...]:
        """Returns the archive, and the JSON file next to it if it exists."""
        return described_files(path)

    def read(self, path: Path, options: ImportOptions) -> SourceModel:
        """Reads a model.

        Raises:
            ModelError: The archive cannot be loaded, is too large, or nothing describes how its network is used.
            LibraryError: torch is not installed.
        """
        description, file_notes = read_description(path, options)
        bundle = None if description or options.preset else self._read_bundle(path, options)
        program = _load_program(path)
        stated = description.get("network_def") if bundle is None else bundle.network_def
        identified, reason = _identify(program, stated, options, self._build, path)
        if bundle is None:
            check_changes(options)
            channels = _channels(identified)
            section, notes = describe(path, description, channels, options)
        else:
            section, notes = dict(bundle.section), bundle.notes
        arguments = {key for key in options.changes if _SEPARATOR.split(key)[0] == "network_def"}
        used = used_options(section, options) if bundle is None else bundle.used_options | arguments
        return SourceModel(
            name=bundle.name if bundle is not None else path.stem,
            version=bundle.version if bundle is not None else "0",
            section=section,
            network_def=identified.network_def if identified is not None else None,
            load_state=(lambda: identified.state) if identified is not None else None,
            script=path if identified is None else None,
            notes=(*_network_notes(identified, reason), *file_notes, *notes),
            licence=bundle.licence if bundle is not None else "",
            used_options=used if identified is not None else used - arguments,
        )

    def _read_bundle(self, path: Path, options: ImportOptions) -> SourceModel | None:
        """Returns the description by the embedded configuration; None if it does not exist."""
        if self._describe_bundle is None:
            return None
        config, metadata = _read_embedded(path, _CONFIG), _read_embedded(path, _METADATA)
        if config is None:
            return None
        return self._describe_bundle(config, metadata or {}, without_network_changes(options), path.stem)


def _load_program(path: Path) -> torch.nn.Module:
    load: Callable[..., torch.nn.Module] = import_torch().jit.load
    check_content_size(path)
    check_program_source(path)
    try:
        return load(str(path), map_location="cpu").eval()
    except _LOAD_ERRORS as error:
        raise ModelError(f"{path.name}: not a TorchScript archive: {first_line(error)}") from error


def _read_embedded(path: Path, name: str) -> dict[str, Any] | None:
    """Returns a JSON object that is embedded in an archive; None if it does not exist."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [each for each in archive.namelist() if each.partition("/")[2] == f"extra/{name}"]
            if not names:
                return None
            with archive.open(names[0]) as file:
                content = file.read(MAX_JSON_BYTES + 1)
    except (NotImplementedError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path.name}: {name} cannot be read: {first_line(error)}") from error
    parsed = parse_json(content, f"{path.name}: {name}", ModelError)
    if not isinstance(parsed, dict):
        raise ModelError(f"{path.name}: {name}: expected an object, got {parsed!r:.40}")
    return parsed


def _identify(
    program: torch.nn.Module,
    stated: Mapping[str, Any] | None,
    options: ImportOptions,
    build: NetworkBuilder,
    path: Path,
) -> tuple[Identified | None, str]:
    """Returns the network of a program; None, and the reason, if the program must be run."""
    state = dict(program.state_dict())
    try:
        identified = identify(state, stated, options, build, path.name)
    except ModelError as error:
        if network_changes(options):
            raise
        return None, str(error).partition("\n")[0]
    difference = find_difference(identified.built, program, identified.prefix)
    if not difference and (has_hooks(path) or not _has_same_code(identified, program)):
        difference = f"its code differs from that of {identified.network}"
    return (None, difference) if difference else (identified, "")


def _has_same_code(identified: Identified, program: torch.nn.Module) -> bool:
    axes = identified.network_def.get("spatial_dims", 3)
    if identified.input_channels is None or not isinstance(axes, int):
        return False
    sizes = traced_sizes(identified.network_def, axes)
    return computes_the_same(identified.built, program, identified.input_channels, sizes)


def _channels(identified: Identified | None) -> Channels:
    if identified is None:
        return Channels("TorchScript", None, None)
    return Channels(identified.network, identified.input_channels, identified.output_channels)


def _network_notes(identified: Identified | None, reason: str) -> tuple[ImportNote, ...]:
    if identified is None:
        return (ImportNote("program", Outcome.TRANSLATED, f"the program is run, with torch: {reason}"),)
    text = "not run: its weights and its code are those of the network"
    shown = (note for note in identified.notes if note.outcome is not Outcome.ASSUMED)  # the code shows the rest
    return (ImportNote("program", Outcome.TRANSLATED, text), *shown)
