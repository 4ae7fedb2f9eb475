"""An interrupted run prints one error line and leaves no files, at every entry point."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clickseg.core.interruption import defer_interruption, install_signal_handlers, raise_pending_interruption
from tests.helpers import runs

ENTRY_POINTS: dict[str, list[object]] = {
    "segment": [Path(sys.executable).with_name("clickseg"), "segment"],
    "app": [sys.executable, runs.REPOSITORY / "app", "-i"],
}


@pytest.mark.parametrize("entry_point", ["segment", pytest.param("app", marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_only_its_metadata(tmp_path: Path, entry_point: str, number: signal.Signals) -> None:
    study, output = runs.write_input(tmp_path / "in"), tmp_path / "out"
    models = runs.write_slow_model(tmp_path / "models")

    run = runs.start_process([*ENTRY_POINTS[entry_point], study, "-m", models, "-o", output], CLICKSEG_METADATA="1")
    runs.wait_until_running(output)
    run.send_signal(number)
    _, errors = run.communicate(timeout=runs.HANG_S)

    assert run.returncode == 1
    assert errors.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in errors
    assert [path.name for path in output.iterdir()] == ["metadata.json"]
    assert json.loads((output / "metadata.json").read_text())["exception"] == "Interrupted"


def test_exec_replaces_its_process_so_that_the_application_gets_all_signals(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    command = [str(Path(sys.executable).with_name("clickseg")), "exec", str(tmp_path / "app.py")]

    with subprocess.Popen(command, env=runs.environment(), stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        run.send_signal(signal.SIGTERM)
        run.wait(timeout=runs.HANG_S)

    assert (pid, run.returncode) == (run.pid, -signal.SIGTERM)


@pytest.fixture
def signal_handlers() -> Iterator[None]:
    """Signals raise ``KeyboardInterrupt``, as in the command. Restores the signal handlers afterwards."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before, hook = [signal.getsignal(number) for number in signals], sys.unraisablehook
    install_signal_handlers()
    yield
    sys.unraisablehook = hook
    for number, handler in zip(signals, before, strict=True):
        signal.signal(number, handler)


def test_a_signal_in_a_deferred_block_is_raised_at_its_end(signal_handlers: None) -> None:
    finished: list[str] = []

    def work() -> None:
        with defer_interruption():
            signal.raise_signal(signal.SIGTERM)
            finished.append("not interrupted")

    with pytest.raises(KeyboardInterrupt):
        work()

    assert finished == ["not interrupted"]


class InterruptedWhenFreed:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_an_interruption_that_cannot_be_raised_at_once_is_raised_later_and_not_printed(
    signal_handlers: None, capsys: pytest.CaptureFixture[str]
) -> None:
    instance = InterruptedWhenFreed()

    del instance

    assert capsys.readouterr().err == ""
    with pytest.raises(KeyboardInterrupt):
        raise_pending_interruption()


def test_after_a_deferred_block_signals_are_raised_at_once(signal_handlers: None) -> None:
    with defer_interruption():
        pass

    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


LOST_INTERRUPTIONS = {
    "a thread pool that is interrupted while it starts a thread": """
import threading
kept = []
class Interrupted(threading.Thread):
    def start(self):
        kept.append(self._args and self._args[0]())  # keeps the pool alive: freeing it would end its threads
        super().start()
        if self.name.startswith("stitch"):
            os.kill(os.getpid(), signal.SIGTERM)
threading.Thread = Interrupted
from clickseg.inference import kernels
assert kernels._MIN_ADDITION_COUNT_TO_COMPILE
kernels._MIN_ADDITION_COUNT_TO_COMPILE = 0
""",
    "an import that turns an interruption into another error": """
from clickseg.batch import steps
def postprocess(*_, **__):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        raise ImportError
steps.postprocess_and_measure = postprocess
""",
    "a library that swallows an interruption": """
from clickseg.batch import steps
preprocess = steps.preprocess
def preprocess_interrupted(case):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        return preprocess(case)
steps.preprocess = preprocess_interrupted
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("case", LOST_INTERRUPTIONS)
def test_interruptions_that_a_library_loses_still_end_the_run(tmp_path: Path, case: str) -> None:
    study, models = runs.write_input(tmp_path / "in"), runs.write_model(tmp_path / "models")
    program = (
        f"import os, signal\nfrom clickseg.cli.main import main\n{LOST_INTERRUPTIONS[case]}\nraise SystemExit(main())"
    )

    run = runs.start_process([sys.executable, "-c", program, "segment", study, "-m", models, "-o", tmp_path / "out"])
    _, errors = run.communicate(timeout=runs.HANG_S)

    assert errors.splitlines()[1:] == ["error: interrupted"]
    assert run.returncode == 1
    assert not (tmp_path / "out").exists()
