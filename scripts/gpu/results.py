"""The options and the result file of a stage, and the tables that are printed at the end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clickseg.core.files import write_bytes

Row = Mapping[str, str | float]


@dataclass(frozen=True, slots=True)
class StageOptions:
    """The options of a stage.

    Attributes:
        pack: The folder that ``scripts/gpu/pack`` wrote.
        output: The folder of the result files.
        seconds: The time limit.
        dry: Whether the stage is only tested, on a CPU with small sizes.
    """

    pack: Path
    output: Path
    seconds: float
    dry: bool


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Writes the rows of a result file."""
    write_bytes(path, (json.dumps({"rows": [dict(row) for row in rows]}, indent=2) + "\n").encode())


def read_rows(path: Path) -> list[Row]:
    """Returns the rows of a result file; none if it does not exist."""
    return list(json.loads(path.read_text())["rows"]) if path.is_file() else []


def format_tables(rows: Iterable[Row]) -> list[str]:
    """Returns the lines of Markdown tables: one table for consecutive rows with the same columns."""
    lines: list[str] = []
    columns: list[str] = []
    for row in rows:
        if list(row) != columns:
            columns = list(row)
            lines += ["", _format_row(columns), "|" + "---|" * len(columns)]
        lines.append(_format_row([str(cell) for cell in row.values()]))
    return lines[1:]


def _format_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
