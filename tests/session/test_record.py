"""A session in a folder is gone on with by another process, from the step that was last acknowledged."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from clickseg.clicks.click import Clicks
from clickseg.core.errors import OutputError, SessionError
from clickseg.dicom.volume import Series
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage
from clickseg.session.record import MAX_STEPS, SESSION
from clickseg.session.session import Session
from tests.helpers import phantoms, runs
from tests.helpers.full_run import segment_series
from tests.helpers.sessions import click

FIRST, SECOND = (0.5, 0.4, 0.6), (0.1, 0.9, 0.2)


@pytest.fixture
def package(models: dict[str, ModelPackage]) -> ModelPackage:
    return models["clicked"]


@pytest.fixture
def engine(package: ModelPackage) -> Engine:
    return make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))


def test_another_session_goes_on_and_runs_nothing_again(
    series: Series,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
) -> None:
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.add_click(click(series, *FIRST), user="ann")
        session.wait()
        before = session.labels.array.copy()

    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.wait()
        assert session.labels.array.tobytes() == before.tobytes()
        assert session._inference.ran == 0
        assert [step.user for step in session.steps] == ["ann"]
        session.add_click(click(series, *SECOND), user="bob")
        session.undo()
        assert session.labels.array.tobytes() == before.tobytes()


def test_its_steps_can_be_replayed_to_the_same_bytes(
    series: Series,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
) -> None:
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.add_clicks([click(series, *FIRST), click(series, *SECOND)])
        session.remove_click(1)
        session.undo()
        session.remove_click(2)
        session.wait()
        found, steps = session.labels.array.copy(), session.steps

    with Session(series, package, engine=engine) as replay:
        for step in steps:
            match step.action.value:
                case "add":
                    replay.add_click(step.click)
                case "remove":
                    replay.remove_click(step.number)
                case name:
                    getattr(replay, name)()
        replay.wait()
        assert replay.labels.array.tobytes() == found.tobytes()


def test_a_damaged_file_of_logits_is_run_again(
    series: Series,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
) -> None:
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.wait()
        before = session.labels.array.copy()
    files = sorted((tmp_path / "s" / "logits").iterdir())
    files[0].write_bytes(files[0].read_bytes()[:-4] + b"abcd")
    files[1].write_bytes(b"")

    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.wait()
        assert session._inference.ran == 2
        assert session.labels.array.tobytes() == before.tobytes()


def test_logits_of_another_session_are_run_again_where_its_record_is_gone(
    series: Series, package: ModelPackage, engine: Engine, tmp_path: Path
) -> None:
    other = replace(series, volume=series.volume.with_array(series.volume.array[::-1].copy()))
    with Session(other, package, engine=engine, folder=tmp_path / "s") as session:
        session.wait()
    (tmp_path / "s" / SESSION).unlink()

    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        found = session.result().labels
        assert session._inference.ran > 0
    assert found.array.tobytes() == segment_series([series], Clicks(), package, engine).labels.array.tobytes()


def test_a_session_that_cannot_be_opened_leaves_its_folder_free(
    series: Series, package: ModelPackage, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("clickseg.session.session.prepare", fails)
        with pytest.raises(MemoryError) as kept_alive:
            Session(series, package, engine=engine, folder=tmp_path / "s")

    Session(series, package, engine=engine, folder=tmp_path / "s").close()
    assert kept_alive.value


def test_files_of_logits_count_as_room_for_themselves(
    series: Series, package: ModelPackage, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.add_click(click(series, *FIRST))
        session.wait()
        size = 2 * session.windows * 8**3 * 4
    held = sum(path.stat().st_size for path in (tmp_path / "s" / "logits").iterdir())
    left = SimpleNamespace(free=2 * size - held)
    monkeypatch.setattr("clickseg.inference.incremental_logits.shutil.disk_usage", lambda _: left)

    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.wait()
        assert session._inference.ran == 0


def test_other_data_weights_or_engines_are_refused(
    series: Series,
    models: dict[str, ModelPackage],
    engine: Engine,
    package: ModelPackage,
    tmp_path: Path,
) -> None:
    Session(series, package, engine=engine, folder=tmp_path / "s").close()

    other = phantoms.read(runs.write_input(tmp_path / "in") / "CT")
    with pytest.raises(SessionError, match="the session is of another series 1: expected"):
        Session(other, package, engine=engine, folder=tmp_path / "s")
    torch = make_engine(package, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))
    with pytest.raises(SessionError, match="the session is of another engine engine: expected torch, got openvino"):
        Session(series, package, engine=torch, folder=tmp_path / "s")
    softmax = make_engine(models["softmax"], RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
    with pytest.raises(SessionError, match="the session is of another model: expected softmax"):
        Session(series, models["softmax"], engine=softmax, folder=tmp_path / "s")


def test_a_session_is_of_one_process_at_a_time(
    series: Series,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
) -> None:
    with (
        Session(series, package, engine=engine, folder=tmp_path / "s"),
        pytest.raises(SessionError, match="in use by another process"),
    ):
        Session(series, package, engine=engine, folder=tmp_path / "s")


@pytest.mark.parametrize("content", ["", "{}", '{"version": 2, "identity": {}, "steps": []}', "[1"])
def test_a_damaged_record_is_one_clear_error(
    series: Series,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
    content: str,
) -> None:
    (tmp_path / SESSION).write_text(content)

    with pytest.raises(SessionError, match=SESSION):
        Session(series, package, engine=engine, folder=tmp_path)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"action": "undo"}], "its steps cannot be replayed: undo: there is nothing to undo"),
        ([{"action": "add"}], "add: expected a click to add"),
        ([{"action": "remove"}], "remove: expected a click to add, a number to remove"),
        ([{"action": "reset", "number": 1}], "reset: expected"),
        ([{"action": "reset"}] * (MAX_STEPS + 1), "at most"),
    ],
)
def test_steps_that_make_no_history_are_one_clear_error(
    series: Series, package: ModelPackage, engine: Engine, tmp_path: Path, steps: list[dict[str, object]], message: str
) -> None:
    Session(series, package, engine=engine, folder=tmp_path).close()
    record = json.loads((tmp_path / SESSION).read_text())
    record["steps"] = [{"user": "", "time": "", **step} for step in steps]
    (tmp_path / SESSION).write_text(json.dumps(record))

    with pytest.raises(SessionError, match=SESSION) as found:
        Session(series, package, engine=engine, folder=tmp_path)
    assert message in str(found.value)


def test_a_record_that_would_not_be_read_again_is_not_written(
    series: Series, package: ModelPackage, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clickseg.session.record.MAX_STEPS", 1)
    with Session(series, package, engine=engine, folder=tmp_path) as session:
        session.add_click(click(series, *FIRST))
        with pytest.raises(SessionError, match="expected at most 1 steps and 16777216 bytes, got 2"):
            session.reset()
        assert len(session.clicks) == 1


def test_a_step_that_cannot_be_kept_is_not_done(
    series: Series,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.wait()
        before = session.labels.array.copy()

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("clickseg.session.record.replace_whole", full)
        with pytest.raises(OutputError, match="No space left"):
            session.add_click(click(series, *FIRST))

        assert session.clicks == ()
        assert session.labels.array.tobytes() == before.tobytes()


OPERATE = """
import sys
import time
sys.path.insert(0, {repository!r})
import numpy as np
from pathlib import Path
from clickseg.clicks.click import Click, Polarity
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.engines.engine import Precision
from clickseg.core.errors import ClickError
from clickseg.session.session import Session
from clickseg.models.package import load_package
from tests.helpers import phantoms
series = phantoms.read(Path({study!r}))
package = load_package(Path({model!r}))
engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
rng = np.random.default_rng({seed})
with Session(series, package, engine=engine, folder=Path({folder!r})) as session:
    print(len(session.steps), flush=True)
    while True:
        kind = rng.choice(["add", "add", "add", "remove", "undo", "redo", "reset"], p=[.25, .25, .2, .1, .1, .08, .02])
        try:
            if kind == "add":
                index = rng.uniform(0, np.array(series.volume.spatial_shape) - 1)
                x, y, z = series.volume.map_indices_to_reference(index[None])[0]
                session.add_click(Click("hook", list(Polarity)[rng.integers(2)], (x, y, z)))
            elif kind == "remove":
                session.remove_click(int(rng.integers(1, 1 + max(len(session.clicks), 1))))
            else:
                getattr(session, str(kind))()
        except ClickError:
            continue
        print(len(session.steps), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("operations", [60, 1000])
def test_after_kills_a_session_goes_on_from_the_step_last_acknowledged(
    series: Series,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
    operations: int,
) -> None:
    study, folder = series_folder(series), tmp_path / "s"
    acknowledged, kills = 0, 0
    rng = random.Random(7)
    while acknowledged < operations:
        code = OPERATE.format(
            repository=str(runs.REPOSITORY), study=study, model=str(package.path), seed=kills, folder=str(folder)
        )
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        resumed = int(process.stdout.readline())
        assert acknowledged <= resumed <= acknowledged + 1  # one may have been kept, and not been acknowledged
        stop = resumed + min(50, operations // 3)
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged >= stop:
                break
        time.sleep(rng.uniform(0, 0.02))
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        acknowledged = int((process.stdout.read().split() or [acknowledged])[-1])
        process.wait()
        process.stdout.close()
        kills += 1

    with Session(series, package, engine=engine, folder=folder) as session:
        assert acknowledged <= len(session.steps) <= acknowledged + 1
        session.wait()
        full = segment_series([series], Clicks(session.clicks), package, engine)
        assert session.labels.array.tobytes() == full.labels.array.tobytes()
    assert kills >= 3


def series_folder(series: Series) -> str:
    return str(series.candidate.instances[0].path.parent)
