"""The ``clickseg`` command: data on standard output, logs on standard error; exit 0 done, 1 failed, 2 wrong use.

Each command imports what it needs when it runs, so that none waits for another one's libraries.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clickseg import __version__
from clickseg.clock import read_clock
from clickseg.collector import end_quickly
from clickseg.errors import ClickSegError, Interrupted, OutputError, unexpected
from clickseg.interruption import raise_when_terminated
from clickseg.terminal import conclude, fail, open_streams, progress_bar, set_up, tell, tell_bytes

_FLAGS = {"nifti": "on", "statistics": "on"}
"""Options that are flags on the command line, and the value that a flag stands for."""

_REPEATED = {"clicks": os.pathsep, "remedy": ",", "series": ","}
"""Options that can be given several times, and what separates their values in one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: The arguments, without the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    open_streams()
    arguments = _parser().parse_args(argv)
    output: Path | None = getattr(arguments, "output", None)
    set_up("DEBUG" if arguments.debug else "WARNING" if arguments.quiet else "INFO")
    raise_when_terminated()
    end_quickly()
    try:
        read_clock(os.environ)  # libraries read it too, and do not say what is wrong with it
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except ClickSegError as error:
        if arguments.debug:
            raise
        return fail([error], output, os.environ)
    except KeyboardInterrupt:
        return fail([Interrupted("interrupted")], output, os.environ)
    except Exception as error:
        if arguments.debug:
            raise
        return fail([unexpected(error)], output, os.environ)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="clickseg", description="Segment DICOM series, guided by clicks.")
    parser.add_argument("--version", action="version", version=f"clickseg {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_segment(_command(commands, "segment", _segment, "segment the series in a folder"))
    _add_inspect(_command(commands, "inspect", _inspect, "show the series in a folder, and what is wrong with them"))
    _add_models(_command(commands, "models", _models, "show the model packages at hand"))
    _add_clicks(_command(commands, "clicks", _clicks, "show, check and convert a file of clicks"))
    _add_exec(_command(commands, "exec", _exec, "run a MONAI Deploy application on a folder"))
    _add_demo(_command(commands, "demo", _demo, "make a phantom study with clicks, and segment it"))
    _add_export(_command(commands, "export", _export, "convert a model package's torch weights for another runtime"))
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], description: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=description, description=description)
    parser.add_argument("-q", "--quiet", action="store_true", help="log warnings and errors only")
    parser.add_argument("--debug", action="store_true", help="log everything, and show where an error was raised")
    parser.set_defaults(command=run)
    return parser


def _path(text: str) -> Path:
    """Reads a path; an empty one is an unset variable of a shell, and not the present folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got nothing")
    return Path(text)


def _add_segment(parser: argparse.ArgumentParser) -> None:
    from clickseg.options import OPTIONS, variable

    parser.add_argument("input", type=_path, metavar="DIR", help="folder of DICOM, or one file")
    parser.add_argument("-o", "--output", type=_path, required=True, metavar="OUT", help="folder for the results")
    _add_models(parser)
    for name, description in OPTIONS.items():
        shown = f"{description} [{variable(name)}]"
        if name in _FLAGS:
            parser.add_argument(f"--{name}", action="store_const", const=_FLAGS[name], help=shown)
        elif name in _REPEATED:
            parser.add_argument(f"--{name}", action="append", metavar=name.upper(), help=shown)
        else:
            parser.add_argument(f"--{name}", metavar=name.rpartition("-")[2].upper(), help=shown)


def _segment(arguments: argparse.Namespace) -> int:
    from clickseg.options import OPTIONS
    from clickseg.run import run
    from clickseg.settings import read_settings

    options = {name: getattr(arguments, name.replace("-", "_")) for name in OPTIONS}
    for name, separator in _REPEATED.items():
        if options[name] is not None:
            options[name] = separator.join(options[name])
    settings = read_settings(arguments.input, arguments.output, arguments.models, options, os.environ)
    results = run(settings, progress_bar())
    return conclude(results.summary, results.errors, settings.output, os.environ)


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=_path, metavar="DIR", help="folder of DICOM, or one file")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--remedy", action="append", default=[], metavar="REMEDY", help="see clickseg segment")


def _inspect(arguments: argparse.Namespace) -> int:
    from clickseg.dicom.files import scan
    from clickseg.dicom.remedies import Remedies
    from clickseg.inspection import as_json, as_text, inspect_series

    found = scan(arguments.input)
    rows = inspect_series(found, Remedies.parse(arguments.remedy))
    tell(json.dumps(as_json(found, rows), indent=2).splitlines() if arguments.json else as_text(found, rows))
    return 0


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--models", type=Path, metavar="MODELS", help="model package, or a folder of them")


def _models(arguments: argparse.Namespace) -> int:
    from clickseg.models.choice import list_packages, model_paths

    packages, errors = list_packages(model_paths(arguments.models, os.environ))
    for package in packages:
        classes = ", ".join(" or ".join((each.name, *each.aliases)) for each in package.spec.classes)
        default = ", default" if package.spec.default else ""
        what = f"{' + '.join(package.modalities)} -> {classes}"
        tell([f"{package.name} {package.version}: {what} ({package.path}{default})"])
    return fail(errors, None, os.environ) if errors else 0


def _add_clicks(parser: argparse.ArgumentParser) -> None:
    from clickseg.options import OPTIONS

    parser.add_argument("file", type=Path, metavar="FILE", help="file of clicks, of any form")
    parser.add_argument("--series", type=Path, metavar="DIR", help="folder of the DICOM series that the clicks are on")
    parser.add_argument("--to", metavar="FORM", help="write them in another form")
    parser.add_argument("-o", "--output", dest="to_file", type=Path, metavar="OUT", help="where to (default: stdout)")
    parser.add_argument("--clicks-frame", default="voxel", metavar="FRAME", help=OPTIONS["clicks-frame"])


def _clicks(arguments: argparse.Namespace) -> int:
    from clickseg.clicks.grand_challenge import Frame
    from clickseg.clicks_command import convert, show
    from clickseg.clock import read_clock
    from clickseg.settings import choice
    from clickseg.staging import write_bytes

    frame = choice(Frame, arguments.clicks_frame, "clicks-frame")
    if arguments.to is None:
        tell(show(arguments.file, arguments.series, frame))
        return 0
    content = convert(arguments.file, arguments.series, frame, arguments.to, read_clock(os.environ))
    if arguments.to_file is None:
        tell_bytes(content)
    else:
        write_bytes(arguments.to_file, content)
    return 0


def _add_exec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "app", nargs="?", type=Path, default=Path("app"), metavar="APP", help="application (default: ./app)"
    )
    parser.add_argument("-i", "--input", type=Path, help="input folder or file [HOLOSCAN_INPUT_PATH]")
    parser.add_argument("-o", "--output", type=Path, help="output folder [HOLOSCAN_OUTPUT_PATH]")
    parser.add_argument("-m", "--model", type=Path, help="model packages [HOLOSCAN_MODEL_PATH]")
    parser.add_argument("-w", "--workdir", type=Path, help="work folder [HOLOSCAN_WORKDIR]")
    parser.add_argument("-l", "--log-level", type=str.upper, choices=["DEBUG", "INFO", "WARN", "ERROR", "CRITICAL"])


def _exec(arguments: argparse.Namespace) -> int:
    from clickseg.execute import execute

    options = {name: getattr(arguments, name) for name in ("input", "output", "model", "workdir", "log_level")}
    execute(arguments.app, options, os.environ)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=_path, default=Path("demo"), metavar="DIR", help="default: ./demo")
    _add_models(parser)
    parser.add_argument("--study-only", action="store_true", help="make the study, and segment nothing")


def _demo(arguments: argparse.Namespace) -> int:
    from clickseg.phantom.study import write_study
    from clickseg.run import run
    from clickseg.settings import read_settings

    study = arguments.output / "study"
    try:
        write_study(study)
    except OSError as error:
        raise OutputError(f"{study}: cannot be written to: {error.strerror}") from error
    tell([f"study    {study}"])
    if arguments.study_only:
        return 0
    settings = read_settings(study, arguments.output / "result", arguments.models, {}, os.environ)
    results = run(settings, progress_bar())
    return conclude(results.summary, results.errors, settings.output, os.environ)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package", type=_path, metavar="PACKAGE", help="folder of a model package with models/model.pt")
    parser.add_argument("--engine", choices=("openvino", "tensorrt"), default="openvino", help="default: openvino")
    parser.add_argument("--precision", choices=("f32", "f16", "int8"), help="default: f32; f16 for tensorrt")
    parser.add_argument("--calibrate", type=_path, metavar="DIR", help="series and clicks that int8 is calibrated on")
    parser.add_argument("--device", metavar="DEVICE", help="the GPU to compile for, for tensorrt: cuda or cuda:N")
    parser.add_argument("--cache", metavar="CACHE", help="folder for compiled networks, for tensorrt")


def _export(arguments: argparse.Namespace) -> int:
    from clickseg.export_command import export

    options = {name: getattr(arguments, name) for name in ("engine", "precision", "device", "cache")}
    tell(export(arguments.package, arguments.calibrate, options, os.environ))
    return 0
