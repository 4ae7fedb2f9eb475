"""What a reader returns: a model of another tool, described as a ClickSeg package describes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

STORED_AXES, UNIT, PRESET = "stored-axes", "unit", "preset"
"""The names of the options about a source, besides its keys."""


class Outcome(str, Enum):
    """What the import did with a key of the source."""

    TRANSLATED = "translated"
    IGNORED = "ignored"
    ASSUMED = "assumed"
    DIFFERENT = "different"
    """Deliberately not as the original tool, whose result would be wrong."""


@dataclass(frozen=True, slots=True)
class ImportNote:
    """What the import did with one key of the source, and why.

    Attributes:
        key: The key, as the source writes it, such as ``preprocessing#transforms#2``; for an assumption, the field of
            the description or the option that sets it.
        outcome: What the import did.
        text: What it was translated to, why it was ignored, what was assumed and how to set it, or how the result
            differs from that of the original tool.
    """

    key: str
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the user states about a source that does not state it.

    Attributes:
        stored_axes: How the training images were stored, such as ``LPS``; empty if not stated. Used only for sources
            that do not turn images to fixed axes.
        unit: The unit of the first input, such as ``SUVbw``; None if not stated.
        preset: The name of the preset for a file that contains only weights; empty for none.
        changes: Values by the keys that they replace. A key whose first part is a field of the description, such as
            ``window.overlap``, is changed after the translation; all others are keys of the source, such as
            ``displayable_configs#highres``, which the reader changes before it.
    """

    stored_axes: str = ""
    unit: str | None = None
    preset: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceModel:
    """A model of another tool, as its reader describes it.

    Attributes:
        name: The name of the model.
        version: Its version; ``0`` if the source has none.
        section: The ``clickseg`` section of the package, as JSON values, without ``weights``.
        network_def: The ``network_def`` of the package, as plain JSON values; None if the TorchScript program is run.
        load_state: Returns the weights by name, for ``network_def``; None if the TorchScript program is run.
        script: The TorchScript program; None if ``network_def`` is built.
        notes: What was done with each key.
        metadata: What the source states about itself, by the names of a MONAI Bundle's ``metadata.json``: ``authors``,
            ``copyright``, ``data_source``, ``intended_use``, ``references`` and others.
        licence: The text of the model's licence; empty if the source has none.
        used_options: The names of the options, and the keys of the source among the changes, that had an effect. All
            others are errors.
    """

    name: str
    version: str
    section: Mapping[str, Any]
    network_def: Mapping[str, Any] | None
    load_state: Callable[[], Mapping[str, torch.Tensor]] | None
    script: Path | None = None
    notes: tuple[ImportNote, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    used_options: frozenset[str] = frozenset()


class Reader(Protocol):
    """The reader of one format."""

    format: str
    """The name of the format, for messages and the import report."""

    is_program: bool
    """Whether models in this format are programs, which run only if the user names the file."""

    def recognizes(self, path: Path) -> bool:
        """Whether a path is a model in this format; reads only names, and the start of small files."""
        ...

    def files(self, path: Path) -> tuple[Path, ...]:
        """Returns all files that the translation depends on."""
        ...

    def read(self, path: Path, options: ImportOptions) -> SourceModel:
        """Reads a model.

        Raises:
            ModelError: The model cannot be expressed as a ClickSeg package; the message names the key.
            LibraryError: A library that the format needs is not installed.
        """
        ...
