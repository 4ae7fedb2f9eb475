"""The parser of the command line: all commands of ``clickseg``, with their help texts.

To add a command, add it here, and its arguments in a module of its group. These modules import no slow library, so that
``--help`` is fast. ``run`` in the module of a command reads the values of its options, except those of
``clickseg.cli.run_options``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from clickseg.cli.container_arguments import add_exec, add_package, add_run
from clickseg.cli.model_arguments import add_evaluate, add_models_check, add_models_export, add_models_import, add_train
from clickseg.cli.renamed import add_renamed_options, reject_renamed_command
from clickseg.cli.run_options import VARIABLES_HELP, add_models_option
from clickseg.cli.segmentation_arguments import add_clicks, add_demo, add_inspect, add_refine, add_segment
from clickseg.core.version import __version__

AddArguments = Callable[[argparse.ArgumentParser], None]
"""Adds the arguments of a command to its parser."""

AddParser = Callable[..., argparse.ArgumentParser]
"""Adds the parser of a command: ``add_parser`` of the group of the command."""


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line.

    Args:
        argv: The arguments, without the program's name.

    Returns:
        The arguments; ``module`` is the module of ``clickseg.cli`` whose ``run`` receives them.

    Raises:
        UsageError: A command or an option was renamed.
        SystemExit: The arguments are invalid, or ask for help or the version.
    """
    reject_renamed_command(argv)
    parser = argparse.ArgumentParser(
        prog="clickseg",
        description="Interactive segmentation of DICOM series (CT, MR, PET) with clicks.",
        epilog="clickseg COMMAND --help shows the options of a command.",
    )
    parser.add_argument(
        "--version", action="version", version=f"clickseg {__version__}", help="print the version and exit"
    )
    parser.set_defaults(quiet=False, debug=False, models=None)
    add = parser.add_subparsers(title="commands", metavar="COMMAND", required=True).add_parser
    _add_command(add, "inspect", "inspection", add_inspect, "list the DICOM series in a folder and their problems")
    _add_command(add, "segment", "segment", add_segment, "segment the DICOM series in a folder")
    _add_command(add, "refine", "refine", add_refine, "add, remove, undo or redo a click in a session")
    _add_command(add, "clicks", "clicks", add_clicks, "show, check or convert a click file")
    _add_command(add, "models", "models_list", _add_models_commands, "list, translate or convert models")
    _add_command(add, "demo", "demo", add_demo, "create a phantom PET/CT study with clicks, and segment it")
    _add_command(add, "evaluate", "evaluate", add_evaluate, "evaluate a model on labelled cases with simulated clicks")
    _add_command(add, "train", "train", add_train, "train a model on labelled cases with simulated clicks")
    _add_command(add, "package", "package", add_package, "build a container image (MONAI Application Package)")
    _add_command(add, "run", "run_image", add_run, "run a container image on a folder of DICOM files")
    _add_command(add, "exec", "exec", add_exec, "run a MONAI Deploy application as a local process")
    return parser.parse_args(_join_negative_positions(argv))


def _add_command(add_parser: AddParser, name: str, module: str, add_arguments: AddArguments, summary: str) -> None:
    """Adds a command, or a command of a group such as ``models``.

    Args:
        add_parser: Adds the command's parser.
        name: The command's name.
        module: The module of ``clickseg.cli`` with the command's ``run``.
        add_arguments: Adds the command's own arguments.
        summary: The command's help, in lower case and without a full stop.
    """
    command = add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    # Without defaults here, a command of a group keeps the values that were given before its name.
    command.add_argument(
        "-q", "--quiet", action="store_true", default=argparse.SUPPRESS, help="log only warnings and errors"
    )
    command.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="log everything, and print tracebacks of errors"
    )
    command.set_defaults(module=module)
    add_arguments(command)
    add_renamed_options(command, command.prog.partition(" ")[2])


def _add_models_commands(parser: argparse.ArgumentParser) -> None:
    """Adds the commands of ``models``; without one, ``clickseg models`` is ``clickseg models list``."""
    add_models_option(parser)
    parser.epilog = f"Without COMMAND, list is run. {VARIABLES_HELP}"
    add = parser.add_subparsers(title="commands", metavar="COMMAND").add_parser
    _add_command(add, "list", "models_list", add_models_option, "list model packages: version, modalities and labels")
    _add_command(add, "import", "models_import", add_models_import, "translate a model of another tool into a package")
    check_summary = "compare the labels of a model with those of MONAI's own pipeline"
    _add_command(add, "check", "models_check", add_models_check, check_summary)
    _add_command(add, "export", "models_export", add_models_export, "convert torch weights to OpenVINO or TensorRT")


def _join_negative_positions(argv: Sequence[str]) -> list[str]:
    """Returns the arguments with a position that begins with a minus sign joined to its ``--add``.

    Otherwise argparse would read ``--add -12.5,40,310`` as two options.
    """
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] == "--add" and argument[:1] == "-" and "," in argument:
            joined[-1] = f"--add={argument}"
        else:
            joined.append(argument)
    return joined
