"""A run that is ended from outside says so in one line and leaves nothing behind, at every door."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clickseg.core.interruption import deferred_interruption, raise_again, raise_when_terminated
from tests.helpers import runs

DOORS: dict[str, list[object]] = {
    "segment": [Path(sys.executable).with_name("clickseg"), "segment"],
    "app": [sys.executable, runs.REPOSITORY / "app", "-i"],
}


@pytest.mark.parametrize("door", ["segment", pytest.param("app", marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_nothing_but_the_note(tmp_path: Path, door: str, number: signal.Signals) -> None:
    study, output = runs.write_input(tmp_path / "in"), tmp_path / "out"
    models = runs.write_slow_model(tmp_path / "models")

    run = runs.started([*DOORS[door], study, "-m", models, "-o", output], CLICKSEG_METADATA="1")
    runs.wait_until_it_runs(output)
    run.send_signal(number)
    _, errors = run.communicate(timeout=runs.HANG_S)

    assert run.returncode == 1
    assert errors.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in errors
    assert [path.name for path in output.iterdir()] == ["metadata.json"]
    assert json.loads((output / "metadata.json").read_text())["exception"] == "Interrupted"


def test_exec_is_the_application_so_that_no_signal_misses_it(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    command = [str(Path(sys.executable).with_name("clickseg")), "exec", str(tmp_path / "app.py")]

    with subprocess.Popen(command, env=runs.environment(), stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        run.send_signal(signal.SIGTERM)
        run.wait(timeout=runs.HANG_S)

    assert (pid, run.returncode) == (run.pid, -signal.SIGTERM)


@pytest.fixture
def handled() -> Iterator[None]:
    """Ending signals are raised, as in the command; afterwards handled as before."""
    ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before, hook = [signal.getsignal(each) for each in ending], sys.unraisablehook
    raise_when_terminated()
    yield
    sys.unraisablehook = hook
    for each, handler in zip(ending, before, strict=True):
        signal.signal(each, handler)


def test_a_signal_within_a_deferring_block_is_raised_at_its_end(handled: None) -> None:
    passed: list[str] = []

    def work() -> None:
        with deferred_interruption():
            os.kill(os.getpid(), signal.SIGTERM)
            passed.append("the signal was no exception")

    with pytest.raises(KeyboardInterrupt):
        work()

    assert passed == ["the signal was no exception"]


class InterruptedWhenFreed:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_an_interruption_that_cannot_be_raised_where_it_comes_is_raised_later_and_not_printed(
    handled: None, capsys: pytest.CaptureFixture[str]
) -> None:
    freed = InterruptedWhenFreed()

    del freed

    assert capsys.readouterr().err == ""
    with pytest.raises(KeyboardInterrupt):
        raise_again()


def test_after_a_deferring_block_signals_are_raised_at_once(handled: None) -> None:
    with deferred_interruption():
        pass

    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


LOSSES = {
    "a thread pool that is interrupted while it starts a thread": """
import threading
kept = []
class Interrupted(threading.Thread):
    def start(self):
        kept.append(self._args and self._args[0]())  # the pool, which else would end its threads when it is freed
        super().start()
        if self.name.startswith("stitch"):
            os.kill(os.getpid(), signal.SIGTERM)
threading.Thread = Interrupted
from clickseg.inference import kernels
kernels._WORTH_COMPILING = 0
""",
    "an import that makes an error of its own of an interruption": """
from clickseg.batch import steps
def finish(*_, **__):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        raise ImportError
steps.finish = finish
""",
    "a library that swallows an interruption": """
from clickseg.batch import steps
prepare = steps.prepare
def prepare_interrupted(case):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        return prepare(case)
steps.prepare = prepare_interrupted
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_no_interruption_gets_lost_in_a_library(tmp_path: Path, loss: str) -> None:
    study, models = runs.write_input(tmp_path / "in"), runs.write_model(tmp_path / "models")
    program = f"import os, signal\nfrom clickseg.cli.main import main\n{LOSSES[loss]}\nraise SystemExit(main())"

    run = runs.started([sys.executable, "-c", program, "segment", study, "-m", models, "-o", tmp_path / "out"])
    _, errors = run.communicate(timeout=runs.HANG_S)

    assert errors.splitlines()[1:] == ["error: interrupted"]
    assert run.returncode == 1
    assert not (tmp_path / "out").exists()
