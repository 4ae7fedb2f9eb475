"""The arguments of the commands that segment: ``inspect``, ``segment``, ``refine``, ``clicks`` and ``demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clickseg.cli.argument_types import parse_path
from clickseg.cli.run_options import OPTIONS, REPAIRS, add_models_option, add_run_options

_FIXED_IN_SESSION = ("clicks", "clicks-frame", "input", "series")
"""Options of a run that are fixed when a session is opened; ``refine`` does not have them."""

_DICOM_HELP = "folder of DICOM files (searched recursively), or a single file"
_OUTPUT_HELP = "output folder"


def add_inspect(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``clickseg inspect``."""
    parser.add_argument("input", type=parse_path, metavar="DIR", help=_DICOM_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    _add_repair(parser)


def add_segment(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``clickseg segment``."""
    parser.add_argument("input", type=parse_path, metavar="DIR", help=_DICOM_HELP)
    parser.add_argument("-o", "--output", type=parse_path, required=True, metavar="OUT", help=_OUTPUT_HELP)
    parser.add_argument(
        "--session",
        type=parse_path,
        metavar="FOLDER",
        help="open a session for one series in this folder, for clickseg refine",
    )
    add_run_options(parser, OPTIONS)


def add_refine(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``clickseg refine``."""
    parser.add_argument("input", type=parse_path, metavar="DIR", help="folder of the session's DICOM series")
    parser.add_argument("-o", "--output", type=parse_path, required=True, metavar="OUT", help=_OUTPUT_HELP)
    parser.add_argument(
        "--session",
        type=parse_path,
        required=True,
        metavar="FOLDER",
        help="folder of the session, opened by clickseg segment --session",
    )
    steps = parser.add_argument_group("steps", "At most one; without a step, the current result is written.")
    step = steps.add_mutually_exclusive_group()
    step.add_argument("--add", metavar="X,Y,Z", help="add a click at this position in patient coordinates (LPS mm)")
    step.add_argument("--remove", type=int, metavar="N", help="remove the N-th click, counted from 1")
    step.add_argument("--undo", action="store_true", help="undo the last change")
    step.add_argument("--redo", action="store_true", help="redo the last change that was undone")
    step.add_argument("--reset", action="store_true", help="remove all clicks")
    label_help = "label of the new click (default: the label of the model, if it has only one)"
    steps.add_argument("--label", default="", metavar="LABEL", help=label_help)
    steps.add_argument("--background", action="store_true", help="make the new click a background click")
    parser.add_argument(
        "--user", default="", metavar="NAME", help="name of the user, for the audit trail of the session"
    )
    add_run_options(parser, (name for name in OPTIONS if name not in _FIXED_IN_SESSION))


def add_clicks(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``clickseg clicks``."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="click file in any supported format, or DICOM SR (docs/clicks.md)"
    )
    parser.add_argument(
        "--dicom",
        type=Path,
        metavar="DIR",
        help="folder with the DICOM series of the clicks: checks positions, and converts from and to voxel indices",
    )
    _add_repair(parser)
    parser.add_argument(
        "--to",
        metavar="FORMAT",
        help="convert the clicks to this format: clickseg, slicer, fcsv, grand-challenge, deepgrow, deepedit, vista3d, "
        "cvpr or sr (default: show them as a table)",
    )
    parser.add_argument(
        "-o",
        "--output",
        dest="to_file",
        type=Path,
        metavar="OUT",
        help="file for the converted clicks (default: standard output)",
    )
    parser.add_argument("--clicks-frame", default="voxel", metavar="FRAME", help=OPTIONS["clicks-frame"])


def add_demo(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``clickseg demo``."""
    parser.add_argument(
        "-o",
        "--output",
        type=parse_path,
        default=Path("demo"),
        metavar="DIR",
        help="folder for study/ and result/ (default: ./demo)",
    )
    add_models_option(parser)
    parser.add_argument("--study-only", action="store_true", help="create the study without segmenting it")


def _add_repair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repair", action="append", default=[], metavar="REPAIR", help=f"repair to try; can be repeated: {REPAIRS}"
    )
