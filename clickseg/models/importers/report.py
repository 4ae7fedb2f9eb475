"""What was done with each key of a foreign model, for its package: in the metadata, and as a page for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from clickseg.core.text import escape_unprintable, join_names
from clickseg.models.importers.registry import ImportedModel
from clickseg.models.importers.source_model import ImportNote, Outcome
from clickseg.models.spec import GridSpec, ModelSpec

_HEADINGS = {
    Outcome.ASSUMED: "Assumed, because the source does not state it",
    Outcome.DIFFERENT: "Deliberately different from the original tool",
    Outcome.TRANSLATED: "Translated",
    Outcome.IGNORED: "Ignored",
}

_TO_CHECK = (Outcome.ASSUMED, Outcome.DIFFERENT)
_MAX_LICENCE_LINES, _MAX_CLASSES = 60, 8


def import_entry(model: ImportedModel, notes: Sequence[ImportNote]) -> dict[str, Any]:
    """Returns the section ``clickseg_import`` of the metadata."""
    entries = [{"key": note.key, "outcome": note.outcome.value, "text": note.text} for note in notes]
    return {"format": model.format, "sha256": model.digest, "notes": entries}


def import_report(model: ImportedModel, notes: Sequence[ImportNote]) -> str:
    """Returns the page about the translation, in Markdown."""
    lines = [
        f"# {_escape(model.source.name)}",
        "",
        f"Translated by ClickSeg from the format {model.format}. The section `clickseg` of `configs/metadata.json` "
        "describes the model, and can be edited.",
    ]
    for outcome, heading in _HEADINGS.items():
        chosen = [note for note in notes if note.outcome is outcome]
        if chosen:
            rows = [f"| {_escape(note.key)} | {_escape(note.text)} |" for note in chosen]
            lines += ["", f"## {heading}", "", "| key | |", "|---|---|", *rows]
    licence = "in the file `LICENSE`" if model.source.licence else "not stated by the source: ask its authors"
    return "\n".join([*lines, "", "## Licence", "", f"The licence of the model is {licence}.", ""])


def summary_lines(model: ImportedModel, notes: Sequence[ImportNote]) -> list[str]:
    """Returns the lines for the terminal: the licence, what the user should check, and what the model is."""
    counts = Counter(note.outcome for note in notes)
    licence = model.source.licence.splitlines()
    return [
        *(["licence:", *licence[:_MAX_LICENCE_LINES]] if licence else ["licence   not stated by the source"]),
        *(["..."] if len(licence) > _MAX_LICENCE_LINES else []),
        *(f"{note.outcome.value}: {note.key}: {note.text}" for note in notes if note.outcome in _TO_CHECK),
        f"keys      {counts[Outcome.TRANSLATED]} translated, {counts[Outcome.IGNORED]} ignored: docs/README.md",
        f"model     {model.source.name} {model.source.version} ({model.format})",
        f"input     {_input_text(model.spec)}",
        f"grid      {_grid_text(model.spec.grid)}",
        f"classes   {join_names([spec.name for spec in model.spec.classes], _MAX_CLASSES)}",
    ]


def _input_text(spec: ModelSpec) -> str:
    return ", ".join(f"{image.modality} {image.unit}".strip() for image in spec.inputs)


def _grid_text(grid: GridSpec) -> str:
    lengths = " x ".join(length if isinstance(length, str) else f"{length:g}" for length in grid.spacing_mm)
    return f"{lengths} mm, axes {grid.orientation}"


def _escape(text: str) -> str:
    """Returns text on one line, without characters that Markdown interprets: links and images load other files."""
    line = "".join(_escape_character(character) for character in " ".join(text.split()))
    return escape_unprintable(line)


def _escape_character(character: str) -> str:
    if character in "\\`*[]|~$":
        return f"\\{character}"
    return {"&": "&amp;", "<": "&lt;"}.get(character, character)
