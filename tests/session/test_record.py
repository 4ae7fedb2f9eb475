"""A session in a folder is resumed by another process, after the last step that was acknowledged."""

from __future__ import annotations

import json
import random
import re
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
from clickseg.core.version import __version__
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import ModelPackage
from clickseg.session.record import MAX_STEPS, SESSION_FILE, read_session_inputs
from clickseg.session.session import Session
from tests.helpers import phantoms, runs
from tests.helpers.full_run import segment_series
from tests.helpers.sessions import click_at

FIRST, SECOND = (0.5, 0.4, 0.6), (0.1, 0.9, 0.2)


@pytest.fixture
def package(models: dict[str, ModelPackage]) -> ModelPackage:
    return models["clicked"]


@pytest.fixture
def engine(package: ModelPackage) -> Engine:
    return make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))


def test_a_resumed_session_runs_no_window_again(
    series: SeriesVolume,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
) -> None:
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.add_click(click_at(series, *FIRST), user="ann")
        session.wait()
        before = session.label_map.array.copy()

    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.wait()
        assert session.label_map.array.tobytes() == before.tobytes()
        assert session._inference.windows_run == 0
        assert [step.user for step in session.steps] == ["ann"]
        session.add_click(click_at(series, *SECOND), user="bob")
        session.undo()
        assert session.label_map.array.tobytes() == before.tobytes()


def test_replayed_steps_give_the_same_bytes(
    series: SeriesVolume,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
) -> None:
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.add_clicks([click_at(series, *FIRST), click_at(series, *SECOND)])
        session.remove_click(1)
        session.undo()
        session.remove_click(2)
        session.wait()
        label_map, steps = session.label_map.array.copy(), session.steps

    with Session(series, package, engine=engine) as replay:
        for step in steps:
            match step.action.value:
                case "add":
                    replay.add_click(step.click)
                case "remove":
                    replay.remove_click(step.click_number)
                case name:
                    getattr(replay, name)()
        replay.wait()
        assert replay.label_map.array.tobytes() == label_map.tobytes()


def test_windows_with_damaged_logits_are_run_again(
    series: SeriesVolume,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
) -> None:
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.wait()
        before = session.label_map.array.copy()
    files = sorted((tmp_path / "s" / "logits").iterdir())
    files[0].write_bytes(files[0].read_bytes()[:-4] + b"abcd")
    files[1].write_bytes(b"")

    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.wait()
        assert session._inference.windows_run == 2
        assert session.label_map.array.tobytes() == before.tobytes()


def test_logits_of_another_session_are_not_used_if_its_record_is_missing(
    series: SeriesVolume, package: ModelPackage, engine: Engine, tmp_path: Path
) -> None:
    other = replace(series, volume=series.volume.with_array(series.volume.array[::-1].copy()))
    with Session(other, package, engine=engine, folder=tmp_path / "s") as session:
        session.wait()
    (tmp_path / "s" / SESSION_FILE).unlink()

    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        label_map = session.result().labels
        assert session._inference.windows_run > 0
    assert label_map.array.tobytes() == segment_series([series], Clicks(), package, engine).labels.array.tobytes()


def test_a_session_that_cannot_be_opened_unlocks_its_folder(
    series: SeriesVolume, package: ModelPackage, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_memory_error(_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("clickseg.session.session.preprocess", raise_memory_error)
        with pytest.raises(MemoryError) as caught:
            Session(series, package, engine=engine, folder=tmp_path / "s")

    Session(series, package, engine=engine, folder=tmp_path / "s").close()
    assert caught.value  # keeps the traceback, and so the failed session, alive


def test_stored_logits_are_treated_as_free_space_for_themselves(
    series: SeriesVolume, package: ModelPackage, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.add_click(click_at(series, *FIRST))
        session.wait()
        size = 2 * session.window_count * 8**3 * 4
    used = sum(path.stat().st_size for path in (tmp_path / "s" / "logits").iterdir())
    disk = SimpleNamespace(free=2 * size - used)
    monkeypatch.setattr("clickseg.inference.incremental_logits.shutil.disk_usage", lambda _: disk)

    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.wait()
        assert session._inference.windows_run == 0


def test_other_data_weights_or_engines_are_rejected(
    series: SeriesVolume,
    models: dict[str, ModelPackage],
    engine: Engine,
    package: ModelPackage,
    tmp_path: Path,
) -> None:
    Session(series, package, engine=engine, folder=tmp_path / "s").close()

    other = phantoms.read(runs.write_input(tmp_path / "in") / "CT")
    with pytest.raises(SessionError, match="series 1 differs from that of the session: expected"):
        Session(other, package, engine=engine, folder=tmp_path / "s")
    torch = make_engine(package, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))
    with pytest.raises(SessionError, match="engine differs from that of the session: expected openvino, got torch"):
        Session(series, package, engine=torch, folder=tmp_path / "s")
    softmax = make_engine(models["softmax"], RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
    with pytest.raises(SessionError, match=r"model differs from that of the session: expected clicked .*, got softmax"):
        Session(series, models["softmax"], engine=softmax, folder=tmp_path / "s")


def test_only_one_process_at_a_time_opens_a_session(
    series: SeriesVolume,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
) -> None:
    with (
        Session(series, package, engine=engine, folder=tmp_path / "s"),
        pytest.raises(SessionError, match="in use by another process"),
    ):
        Session(series, package, engine=engine, folder=tmp_path / "s")


def test_only_a_session_with_a_model_of_another_tool_stores_options(
    series: SeriesVolume, package: ModelPackage, engine: Engine, tmp_path: Path
) -> None:
    options = ImportOptions(unit="", preset="sw_fastedit", changes={"window.roi": [8, 8, 8]})
    translated = replace(package, import_options=options)
    Session(series, package, engine=engine, folder=tmp_path / "package").close()
    Session(series, translated, engine=engine, folder=tmp_path / "translated").close()

    content = json.loads((tmp_path / "package" / SESSION_FILE).read_text())
    assert list(content) == ["version", "model", "series_instance_uids", "fingerprint", "steps"]
    assert read_session_inputs(tmp_path / "package").import_options is None
    assert read_session_inputs(tmp_path / "translated").import_options == options


@pytest.mark.parametrize("content", ["", "{}", '{"version": 2, "fingerprint": {}, "steps": []}', "[1"])
def test_a_damaged_record_is_one_clear_error(
    series: SeriesVolume,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
    content: str,
) -> None:
    (tmp_path / SESSION_FILE).write_text(content)

    with pytest.raises(SessionError, match=SESSION_FILE):
        Session(series, package, engine=engine, folder=tmp_path)


def test_a_session_of_another_format_is_one_clear_error(
    series: SeriesVolume, package: ModelPackage, engine: Engine, tmp_path: Path
) -> None:
    old = {"version": 1, "model": "m", "series_uids": [], "identity": {"clickseg": "0.0.1"}, "steps": []}
    (tmp_path / SESSION_FILE).write_text(json.dumps(old))

    message = "the session was opened by another version of ClickSeg: file format 1, but this version uses format 2"
    with pytest.raises(SessionError, match=rf"session\.json: {message}") as caught:
        Session(series, package, engine=engine, folder=tmp_path)
    assert "begin a new session in another folder" in (caught.value.hint or "")
    with pytest.raises(SessionError, match=message):
        read_session_inputs(tmp_path)


def test_a_session_of_another_version_is_one_clear_error(
    series: SeriesVolume, package: ModelPackage, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("clickseg.session.record.__version__", "0.0.1")
        Session(series, package, engine=engine, folder=tmp_path).close()

    message = rf"the session was opened by another version of ClickSeg: 0\.0\.1, but this is {re.escape(__version__)}"
    with pytest.raises(SessionError, match=message):
        Session(series, package, engine=engine, folder=tmp_path)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"action": "undo"}], "the steps cannot be replayed: undo: the session has no step to undo"),
        ([{"action": "add"}], "add: expected click only for add"),
        ([{"action": "remove"}], "remove: expected click only for add, and click_number only for remove"),
        ([{"action": "reset", "click_number": 1}], "reset: expected"),
        ([{"action": "reset"}] * (MAX_STEPS + 1), "at most"),
    ],
)
def test_invalid_steps_are_one_clear_error(
    series: SeriesVolume,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
    steps: list[dict[str, object]],
    message: str,
) -> None:
    Session(series, package, engine=engine, folder=tmp_path).close()
    record = json.loads((tmp_path / SESSION_FILE).read_text())
    record["steps"] = [{"user": "", "time": "", **step} for step in steps]
    (tmp_path / SESSION_FILE).write_text(json.dumps(record))

    with pytest.raises(SessionError, match=SESSION_FILE) as caught:
        Session(series, package, engine=engine, folder=tmp_path)
    assert message in str(caught.value)


def test_a_record_beyond_the_size_limit_is_not_written(
    series: SeriesVolume, package: ModelPackage, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clickseg.session.record.MAX_STEPS", 1)
    with Session(series, package, engine=engine, folder=tmp_path) as session:
        session.add_click(click_at(series, *FIRST))
        with pytest.raises(SessionError, match="expected at most 1 steps and 16777216 bytes, got 2"):
            session.reset()
        assert len(session.clicks) == 1


def test_a_step_that_cannot_be_stored_is_not_applied(
    series: SeriesVolume,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.wait()
        before = session.label_map.array.copy()

        def raise_disk_full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("clickseg.session.record.replace_atomically", raise_disk_full)
        with pytest.raises(OutputError, match="No space left"):
            session.add_click(click_at(series, *FIRST))

        assert session.clicks == ()
        assert session.label_map.array.tobytes() == before.tobytes()


RANDOM_STEPS = """
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
def test_a_killed_session_resumes_after_the_last_acknowledged_step(
    series: SeriesVolume,
    package: ModelPackage,
    engine: Engine,
    tmp_path: Path,
    operations: int,
) -> None:
    study, folder = series_folder(series), tmp_path / "s"
    acknowledged, kills = 0, 0
    rng = random.Random(7)
    while acknowledged < operations:
        code = RANDOM_STEPS.format(
            repository=str(runs.REPOSITORY), study=study, model=str(package.path), seed=kills, folder=str(folder)
        )
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        resumed = int(process.stdout.readline())
        assert acknowledged <= resumed <= acknowledged + 1  # one step may be stored without being acknowledged
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
        expected = segment_series([series], Clicks(session.clicks), package, engine)
        assert session.label_map.array.tobytes() == expected.labels.array.tobytes()
    assert kills >= 3


def series_folder(series: SeriesVolume) -> str:
    return str(series.files.instances[0].path.parent)
