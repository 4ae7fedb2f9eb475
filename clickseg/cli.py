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
from clickseg.errors import ClickSegError
from clickseg.terminal import fail, progress_bar, set_up

_FLAGS = {"nifti": "on", "statistics": "on"}
"""Options that are flags on the command line, and the value that a flag stands for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: The arguments, without the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    arguments = _parser().parse_args(argv)
    output: Path | None = getattr(arguments, "output", None)
    set_up("DEBUG" if arguments.debug else "WARNING" if arguments.quiet else "INFO")
    try:
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except ClickSegError as error:
        if arguments.debug:
            raise
        return fail([error], output, os.environ)
    except KeyboardInterrupt:
        return fail([ClickSegError("interrupted")], output, os.environ)
    except Exception as error:
        if arguments.debug:
            raise
        bug = ClickSegError(f"a bug in ClickSeg: {type(error).__name__}: {error}", hint="--debug shows where")
        return fail([bug], output, os.environ)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="clickseg", description="Segment DICOM series, guided by clicks.")
    parser.add_argument("--version", action="version", version=f"clickseg {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_segment(_command(commands, "segment", _segment, "segment the series in a folder"))
    _add_inspect(_command(commands, "inspect", _inspect, "show the series in a folder, and what is wrong with them"))
    _add_models(_command(commands, "models", _models, "show the model packages at hand"))
    _add_exec(_command(commands, "exec", _exec, "run a MONAI Deploy application on a folder"))
    _add_demo(_command(commands, "demo", _demo, "make a phantom study with clicks, and segment it"))
    _add_export(_command(commands, "export", _export, "convert a model package's torch weights to OpenVINO"))
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], description: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=description, description=description)
    parser.add_argument("-q", "--quiet", action="store_true", help="log warnings and errors only")
    parser.add_argument("--debug", action="store_true", help="log everything, and show where an error was raised")
    parser.set_defaults(command=run)
    return parser


def _add_segment(parser: argparse.ArgumentParser) -> None:
    from clickseg.options import OPTIONS, variable

    parser.add_argument("input", type=Path, metavar="DIR", help="folder of DICOM, or one file")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the results")
    parser.add_argument("-m", "--models", type=Path, metavar="MODELS", help="model package, or a folder of them")
    for name, description in OPTIONS.items():
        shown = f"{description} [{variable(name)}]"
        if name in _FLAGS:
            parser.add_argument(f"--{name}", action="store_const", const=_FLAGS[name], help=shown)
        elif name == "remedy":
            parser.add_argument("--remedy", action="append", metavar="REMEDY", help=shown)
        else:
            parser.add_argument(f"--{name}", metavar=name.rpartition("-")[2].upper(), help=shown)


def _segment(arguments: argparse.Namespace) -> int:
    from clickseg.options import OPTIONS
    from clickseg.run import run
    from clickseg.settings import read_settings

    options = {name: getattr(arguments, name.replace("-", "_")) for name in OPTIONS}
    if options["remedy"] is not None:
        options["remedy"] = ",".join(options["remedy"])
    settings = read_settings(arguments.input, arguments.output, arguments.models, options, os.environ)
    results = run(settings, progress_bar())
    for line in results.summary():
        print(line)
    return fail(results.errors, settings.output, os.environ) if results.errors else 0


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="DIR", help="folder of DICOM, or one file")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--remedy", action="append", default=[], metavar="REMEDY", help="see clickseg segment")


def _inspect(arguments: argparse.Namespace) -> int:
    from clickseg.dicom.files import scan
    from clickseg.dicom.remedies import Remedies
    from clickseg.inspection import as_json, as_text, inspect_series

    found = scan(arguments.input)
    rows = inspect_series(found, Remedies.parse(arguments.remedy))
    print(json.dumps(as_json(found, rows), indent=2) if arguments.json else as_text(found, rows))
    return 0


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--models", type=Path, metavar="MODELS", help="model package, or a folder of them")


def _models(arguments: argparse.Namespace) -> int:
    from clickseg.models.choice import find_packages, model_paths

    for package in find_packages(model_paths(arguments.models, os.environ)):
        classes = ", ".join(each.name for each in package.spec.classes)
        default = ", default" if package.spec.default else ""
        print(
            f"{package.name} {package.version}: {' + '.join(package.modalities)} -> {classes} ({package.path}{default})"
        )
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
    return execute(arguments.app, options, os.environ)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="DIR", help="default: ./demo")
    parser.add_argument("--study-only", action="store_true", help="make the study, and segment nothing")


def _demo(arguments: argparse.Namespace) -> int:
    from clickseg.phantom.study import write_study
    from clickseg.run import run
    from clickseg.settings import read_settings

    study = arguments.output / "study"
    write_study(study)
    print(f"study    {study}")
    if arguments.study_only:
        return 0
    results = run(read_settings(study, arguments.output / "result", None, {}, os.environ), progress_bar())
    for line in results.summary():
        print(line)
    return fail(results.errors, None, os.environ) if results.errors else 0


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package", type=Path, metavar="PACKAGE", help="folder of a model package with models/model.pt")


def _export(arguments: argparse.Namespace) -> int:
    from clickseg.models.export import export_openvino
    from clickseg.models.package import load_package

    for path in export_openvino(load_package(arguments.package)):
        print(path)
    return 0
