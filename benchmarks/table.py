"""Prints a table of measurements with a description of the machine, and stores it as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("highdicom", "monai", "numpy", "openvino", "torch")
_RESULTS = Path(__file__).parent / "results"

Row = Mapping[str, str | float]


def publish(name: str, title: str, rows: Sequence[Row]) -> None:
    """Prints a table and writes it to ``benchmarks/results/NAME.json``.

    Args:
        name: The name of the benchmark.
        title: The measured quantity and the conditions.
        rows: The cells by column; all rows have the same columns.
    """
    print(f"## {title}\n")
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(_format_cell(cell) for cell in row.values()) + " |")
    print(f"\n{', '.join(f'{key} {value}' for key, value in describe_machine().items())}")
    _RESULTS.mkdir(exist_ok=True)
    content = {"title": title, "machine": describe_machine(), "rows": [dict(row) for row in rows]}
    (_RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def describe_machine() -> dict[str, str | int]:
    """Returns the processor, the number of cores, and the versions of Python and of the main packages."""
    return {
        "processor": _processor_name(),
        "cores": len(os.sched_getaffinity(0)),
        "Python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }


def _processor_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    flags = next((line for line in lines if line.startswith("flags")), "")
    return name + "".join(f" {flag}" for flag in ("avx512f", "avx512_bf16", "amx_bf16") if f" {flag}" in flags)


def _format_cell(cell: str | float) -> str:
    return cell if isinstance(cell, str) else f"{cell:.8g}"
