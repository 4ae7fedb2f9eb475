"""The ``clickseg`` command: data on standard output, logs on standard error; exit 0 done, 1 failed, 2 wrong use.

Each command imports what it needs when it runs, so that none waits for another one's libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clickseg.cli.parser import Run, options_of, parsed
from clickseg.cli.terminal import begin, conclude, fail, open_streams, progress_bar, set_up, tell, tell_bytes
from clickseg.core.clock import read_clock
from clickseg.core.errors import ClickSegError, Interrupted, OutputError, unexpected
from clickseg.core.garbage_collector import tune_collector
from clickseg.core.interruption import end, interruptible, raise_when_terminated

if TYPE_CHECKING:
    from clickseg.batch.settings import RunSettings


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: The arguments, without the program's name; those of the process by default.

    Returns:
        The exit code. Interrupted it does not return: it ends the process.
    """
    open_streams()
    arguments = parsed(sys.argv[1:] if argv is None else argv, _COMMANDS)
    output: Path | None = getattr(arguments, "output", None)
    set_up("DEBUG" if arguments.debug else "WARNING" if arguments.quiet else "INFO")
    raise_when_terminated()
    tune_collector()
    try:
        read_clock(os.environ)  # libraries read it too, and do not say what is wrong with it
        command: Callable[[argparse.Namespace], int] = arguments.command
        with interruptible():
            return command(arguments)
    except ClickSegError as error:
        if arguments.debug:
            raise
        return fail([error], output, os.environ)
    except KeyboardInterrupt:
        end(fail([Interrupted("interrupted")], output, os.environ))
    except Exception as error:
        if arguments.debug:
            raise
        return fail([unexpected(error)], output, os.environ)


def _segment(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    begin(settings.output, os.environ)
    if arguments.session is None:
        from clickseg.batch.run import run

        return conclude(run(settings, progress_bar()), settings.output, os.environ)
    from clickseg.batch.session_run import open_session
    from clickseg.cli.session import summary_of

    opened = open_session(settings, arguments.session, progress_bar())
    return conclude(summary_of(opened), settings.output, os.environ)


def _refine(arguments: argparse.Namespace) -> int:
    from clickseg.batch.session_run import refine
    from clickseg.cli.session import edit_of, summary_of

    settings = _settings(arguments)
    begin(settings.output, os.environ)
    refined = refine(settings, arguments.session, edit_of(arguments), progress_bar())
    return conclude(summary_of(refined), settings.output, os.environ)


def _settings(arguments: argparse.Namespace) -> RunSettings:
    from clickseg.batch.settings import read_settings

    return read_settings(arguments.input, arguments.output, arguments.models, options_of(arguments), os.environ)


def _inspect(arguments: argparse.Namespace) -> int:
    from clickseg.cli.inspection import as_json, as_text, inspect_series
    from clickseg.dicom.files import scan
    from clickseg.dicom.series import Remedies

    found = scan(arguments.input)
    rows = inspect_series(found, Remedies.parse(arguments.remedy))
    tell(json.dumps(as_json(found, rows), indent=2).splitlines() if arguments.json else as_text(found, rows))
    return 0


def _models(arguments: argparse.Namespace) -> int:
    from clickseg.models.find import list_packages, model_paths

    packages, errors = list_packages(model_paths(arguments.models, os.environ))
    for package in packages:
        classes = ", ".join(" or ".join((each.name, *each.aliases)) for each in package.spec.classes)
        default = ", default" if package.spec.default else ""
        tell([f"{package.name} {package.version}: {package.takes} -> {classes} ({package.path}{default})"])
    return fail(errors, None, os.environ) if errors else 0


def _clicks(arguments: argparse.Namespace) -> int:
    from clickseg.cli.clicks import convert, show
    from clickseg.clicks.formats.grand_challenge import Frame
    from clickseg.core.clock import read_clock
    from clickseg.core.files import write_bytes
    from clickseg.core.options import choice

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


def _exec(arguments: argparse.Namespace) -> int:
    from clickseg.cli.exec import execute

    options = {name: getattr(arguments, name) for name in ("input", "output", "model", "workdir", "log_level")}
    execute(arguments.app, options, os.environ)


def _demo(arguments: argparse.Namespace) -> int:
    from clickseg.batch.run import run
    from clickseg.batch.settings import read_settings
    from clickseg.datasets.phantom import write_study

    study = arguments.output / "study"
    try:
        write_study(study)
    except OSError as error:
        raise OutputError(f"{study}: cannot be written to: {error.strerror}") from error
    tell([f"study    {study}"])
    if arguments.study_only:
        return 0
    settings = read_settings(study, arguments.output / "result", arguments.models, {}, os.environ)
    return conclude(run(settings, progress_bar()), settings.output, os.environ)


def _evaluate(arguments: argparse.Namespace) -> int:
    from clickseg.core.extras import EVALUATION, check_libraries

    check_libraries(EVALUATION)
    from clickseg.cli.evaluate import evaluate, settings_of

    found = evaluate(settings_of(arguments, options_of(arguments), os.environ), progress_bar("step"))
    tell(found.lines)
    return fail(found.errors, None, os.environ) if found.errors else 0


def _export(arguments: argparse.Namespace) -> int:
    from clickseg.cli.export import export

    options = {name: getattr(arguments, name) for name in ("engine", "precision", "device", "cache")}
    tell(export(arguments.package, arguments.calibrate, options, os.environ))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from clickseg.cli.train import train_command

    tell(train_command(arguments, progress_bar("batch"), progress_bar("case")))
    return 0


def _package(arguments: argparse.Namespace) -> int:
    from clickseg.cli.package import Image, checked_tag, content_of, package

    image = Image(
        checked_tag(arguments.tag),
        arguments.app_version,
        arguments.target,
        arguments.base_image,
        arguments.network,
        not arguments.no_cache,
    )
    models = () if arguments.no_models else arguments.model
    content = content_of(arguments.app, models, os.environ, docs=arguments.docs, wheels=arguments.wheels)
    tell(package(content, image, arguments.tar_folder))
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from clickseg.cli.run_image import Job, run_image
    from clickseg.core.owned_files import user_and_group

    job = Job(
        arguments.image,
        arguments.input,
        arguments.results,
        user=user_and_group(),
        clicks=tuple(arguments.clicks),
        models=arguments.models,
        cache=arguments.cache,
        gpus=arguments.gpus,
    )
    return run_image(job, os.environ)


_COMMANDS: dict[str, Run] = {
    "segment": _segment,
    "refine": _refine,
    "inspect": _inspect,
    "models": _models,
    "clicks": _clicks,
    "exec": _exec,
    "demo": _demo,
    "evaluate": _evaluate,
    "export": _export,
    "train": _train,
    "package": _package,
    "run": _run,
}
