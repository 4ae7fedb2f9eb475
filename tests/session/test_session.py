"""After each step, a session gives the same bytes as ``clickseg segment`` with the same clicks."""

from __future__ import annotations

import contextlib
import sys
import threading
import uuid
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.core.errors import ClickError, EngineError, MemoryLimitError, SessionError
from clickseg.core.memory import Memory
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference import incremental_logits as logits_module
from clickseg.inference.engines.engine import Engine
from clickseg.inference.incremental_inputs import empty_keys
from clickseg.inference.resample import ResampledImage
from clickseg.inference.runtime_settings import Runtime
from clickseg.inference.windows import WindowGrid
from clickseg.models.package import ModelPackage
from clickseg.session.options import SessionOptions
from clickseg.session.session import Session
from clickseg.session.state import SessionState, Validity
from tests.helpers import runs
from tests.helpers.full_run import segment_series
from tests.helpers.sessions import click_at, position_in

LOGIT_STORES = ("memory", "scratch", "disk", "null")
MODELS = ("softmax", "sigmoid", "overwrite", "two labels", "clicked", "mirrored", "refining", "refining both")
POLARITIES = (Polarity.FOREGROUND, Polarity.BACKGROUND)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.booleans(), st.booleans()),
        st.tuples(st.just("remove"), st.integers(0, 9)),
        st.sampled_from([("undo",), ("redo",), ("reset",)]),
    ),
    min_size=1,
    max_size=7,
)


def try_step(session: Session, series: SeriesVolume, step: tuple) -> bool:
    """Makes a step; returns whether it was possible."""
    try:
        match step:
            case ("add", i, j, k, is_foreground, is_hook):
                label = "hook" if is_hook else session._case.package.spec.classes[-1].name
                session.add_click(Click(label, POLARITIES[not is_foreground], position_in(series, i, j, k)))
            case ("remove", number):
                session.remove_click(number + 1)
            case (name,):
                getattr(session, name)()
    except ClickError:
        return False
    return True


@given(STEPS, st.sampled_from(MODELS), st.sampled_from([Runtime.OPENVINO, Runtime.TORCH]))
@settings(max_examples=16, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("store", LOGIT_STORES)
def test_each_step_gives_the_bytes_of_a_full_run(
    series: SeriesVolume,
    models: dict[str, ModelPackage],
    engines: dict[tuple[str, Runtime], Engine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    store: str,
    steps: list[tuple],
    name: str,
    runtime: Runtime,
) -> None:
    store_logits(store, tmp_path, monkeypatch)
    with Session(series, models[name], engine=engines[name, runtime]) as session:
        session.wait()
        for step in steps:
            before = session.label_map.array.copy()
            if try_step(session, series, step):
                expected = segment_series([series], Clicks(session.clicks), models[name], engines[name, runtime])
                assert session.label_map.array.tobytes() == expected.labels.array.tobytes()
                assert session.measurements() == expected.measurements
            else:
                assert session.label_map.array.tobytes() == before.tobytes()


def store_logits(store: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factories = {
        "memory": lambda keys, shape, **_: logits_module.MemoryStore(keys, shape),
        "scratch": lambda keys, shape, **_: logits_module.ScratchStore(keys, folder, shape),
        "disk": lambda keys, shape, **_: logits_module.DiskStore(keys, folder / uuid.uuid4().hex, shape, b""),
        "null": lambda *_, **__: logits_module.NullStore(),
    }
    monkeypatch.setattr("clickseg.inference.incremental.make_logits_store", factories[store])


CLICK = (0.5, 0.4, 0.6)
OTHER = (0.1, 0.9, 0.2)
CORNER = (0.0, 0.0, 0.0)


def test_a_click_runs_only_the_windows_with_its_ball_and_returns_the_changed_box(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    engine = engines["softmax", Runtime.OPENVINO]
    with Session(series, models["softmax"], engine=engine) as session:
        session.wait()
        before = session.label_map.array.copy()

        change = session.add_click(click_at(series, *CORNER))

        differs = np.argwhere(session.label_map.array != before)
        assert 0 < change.windows_run < session.window_count / 2
        assert change.box is not None
        assert [part.start for part in change.box] == differs.min(axis=0).tolist()
        assert [part.stop - 1 for part in change.box] == differs.max(axis=0).tolist()
        assert session.undo().windows_run == 0  # the logits without the click are stored
        assert session.label_map.array.tobytes() == before.tobytes()


def test_a_click_resamples_only_the_part_of_the_image_in_its_windows(
    series: SeriesVolume,
    models: dict[str, ModelPackage],
    engines: dict[tuple[str, Runtime], Engine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part, sizes = ResampledImage.crop, []

    def record_size(image: ResampledImage, box: tuple[slice, slice, slice]) -> np.ndarray:
        values = part(image, box)
        sizes.append(values.size)
        return values

    with Session(series, models["softmax"], engine=engines["softmax", Runtime.OPENVINO]) as session:
        session.wait()
        monkeypatch.setattr(ResampledImage, "crop", record_size)
        change = session.add_click(click_at(series, *CORNER))

    assert change.windows_run < session.window_count / 2
    assert 0 < sum(sizes) <= change.windows_run * 8**3


def test_clicks_in_a_mirrored_model_give_the_bytes_of_a_full_run(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    model, engine = models["mirrored"], engines["mirrored", Runtime.OPENVINO]
    with Session(series, model, engine=engine) as session:
        session.wait()
        for fractions in (CORNER, CLICK, OTHER):
            change = session.add_click(click_at(series, *fractions))

            expected = segment_series([series], Clicks(session.clicks), model, engine)
            assert 0 < change.windows_run < session.window_count
            assert session.label_map.array.tobytes() == expected.labels.array.tobytes()


@pytest.mark.parametrize("store", ["memory", "scratch", "disk"])
def test_the_last_step_is_undone_without_running_a_window(
    series: SeriesVolume,
    models: dict[str, ModelPackage],
    engines: dict[tuple[str, Runtime], Engine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    store: str,
) -> None:
    store_logits(store, tmp_path, monkeypatch)
    with Session(series, models["softmax"], engine=engines["softmax", Runtime.OPENVINO]) as session:
        session.wait()
        for fractions in (CLICK, (0.5, 0.4, 0.7), CLICK, (0.4, 0.4, 0.6)):
            assert session.add_click(click_at(series, *fractions)).windows_run > 0 or fractions == CLICK
            assert session.undo().windows_run == 0


def test_a_session_without_a_folder_leaves_no_named_file(
    series: SeriesVolume,
    models: dict[str, ModelPackage],
    engines: dict[tuple[str, Runtime], Engine],
    tmp_path: Path,
) -> None:
    memory = Memory(1, tmp_path)  # so little that logits are not stored in memory
    with (
        contextlib.suppress(MemoryLimitError),
        Session(
            series,
            models["softmax"],
            engine=engines["softmax", Runtime.OPENVINO],
            options=SessionOptions(memory=memory),
        ) as session,
    ):
        assert isinstance(session._inference._logits, logits_module.ScratchStore)
        assert not list(tmp_path.iterdir())
        session.wait()


def test_memory_is_reserved_for_the_logits(series: SeriesVolume, models: dict[str, ModelPackage]) -> None:
    grid = WindowGrid.cover((20, 9, 8), models["softmax"].spec.window)
    logits = logits_module.MemoryStore(empty_keys(grid), (1, 8, 8, 8))
    size = 8**3 * 4
    assert logits.pending_bytes == 2 * len(grid) * size

    for window in grid:
        logits.put(window, np.zeros((1, 8, 8, 8), np.float32))
        logits.put(window, np.ones((1, 8, 8, 8), np.float32))

    assert logits.pending_bytes == len(grid) * size


def test_the_same_click_again_changes_no_voxel_and_runs_no_window(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    with Session(series, models["softmax"], engine=engines["softmax", Runtime.OPENVINO]) as session:
        session.add_click(click_at(series, *CLICK))

        again = session.add_click(click_at(series, *CLICK))

        assert (again.box, again.windows_run, len(session.clicks)) == (None, 0, 2)


def test_clicks_added_together_are_separate_steps(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    with Session(series, models["softmax"], engine=engines["softmax", Runtime.OPENVINO]) as session:
        session.add_clicks([click_at(series, *CLICK), click_at(series, *OTHER)], user="ann")
        session.undo()

        assert session.clicks == (click_at(series, *CLICK),)
        assert [(step.action.value, step.user) for step in session.steps] == [
            ("add", "ann"),
            ("add", "ann"),
            ("undo", ""),
        ]


class ControlledEngine:
    """An engine that counts its calls, waits until it may continue, and fails on request."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.device, self.precision, self.batch = engine.device, engine.precision, engine.batch
        self.weights, self.describe = engine.weights, engine.describe
        self.may_continue, self.has_started = threading.Event(), threading.Event()
        self.fails, self.calls = False, 0

    def infer(self, batch: np.ndarray) -> np.ndarray:
        self.has_started.set()
        assert self.may_continue.wait(60)
        self.calls += 1
        if self.fails:
            raise EngineError("the network fails")
        return self._engine.infer(batch)


def test_a_click_takes_precedence_over_the_background_run(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    engine = ControlledEngine(engines["softmax", Runtime.OPENVINO])
    with Session(series, models["softmax"], engine=engine) as session:
        assert engine.has_started.wait(60)
        threading.Timer(0.2, engine.may_continue.set).start()

        change = session.add_click(click_at(series, *CORNER))

        assert engine.calls < session.window_count
        assert change.windows_run > 0
        session.wait()
        expected = segment_series(
            [series], Clicks(session.clicks), models["softmax"], engines["softmax", Runtime.OPENVINO]
        )
        assert session.label_map.array.tobytes() == expected.labels.array.tobytes()
        assert engine.calls <= session.window_count + change.windows_run  # no window was run twice


def test_closing_a_session_stops_the_background_run(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    engine = ControlledEngine(engines["softmax", Runtime.OPENVINO])
    session = Session(series, models["softmax"], engine=engine)
    assert engine.has_started.wait(60)
    threading.Timer(0.2, engine.may_continue.set).start()

    session.close()

    assert engine.calls < session.window_count


def test_a_step_that_fails_changes_nothing(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    engine = ControlledEngine(engines["softmax", Runtime.OPENVINO])
    engine.may_continue.set()
    with Session(series, models["softmax"], engine=engine) as session:
        session.add_click(click_at(series, *OTHER))
        session.wait()
        before = session.label_map.array.copy()

        engine.fails = True
        with pytest.raises(EngineError, match="the network fails"):
            session.add_click(click_at(series, *CLICK))

        engine.fails = False
        assert session.label_map.array.tobytes() == before.tobytes()
        assert session.clicks == (click_at(series, *OTHER),)
        session.add_click(click_at(series, *CLICK))
        expected = segment_series(
            [series], Clicks(session.clicks), models["softmax"], engines["softmax", Runtime.OPENVINO]
        )
        assert session.label_map.array.tobytes() == expected.labels.array.tobytes()


@pytest.mark.parametrize("name", ["softmax", "clicked"])
@pytest.mark.parametrize("method", ["update_clicks", "update"])
def test_the_session_recovers_from_an_interrupted_step_before_the_next_use(
    series: SeriesVolume,
    models: dict[str, ModelPackage],
    engines: dict[tuple[str, Runtime], Engine],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    method: str,
) -> None:
    with Session(series, models[name], engine=engines[name, Runtime.OPENVINO]) as session:
        session.wait()
        owner = session._inference if method == "update_clicks" else session._view
        function, calls = getattr(owner, method), []

        def run_and_interrupt(*arguments: object) -> None:
            calls.append(function(*arguments))
            raise KeyboardInterrupt

        monkeypatch.setattr(owner, method, run_and_interrupt)
        with pytest.raises(KeyboardInterrupt):  # with update_clicks, the way back is interrupted, too
            session.add_click(click_at(series, *CLICK))
        monkeypatch.undo()
        assert session._state.validity is (Validity.STALE if method == "update_clicks" else Validity.IN_DOUBT)

        expected = segment_series([series], Clicks(session.clicks), models[name], engines[name, Runtime.OPENVINO])
        assert session.result().labels.array.tobytes() == expected.labels.array.tobytes()
        assert session._state == SessionState(Validity.CLEAN, session.clicks)
        session.add_click(click_at(series, *OTHER))
        expected = segment_series([series], Clicks(session.clicks), models[name], engines[name, Runtime.OPENVINO])
        assert session.label_map.array.tobytes() == expected.labels.array.tobytes()
        assert calls


PROGRAM_WITHOUT_CLOSE = """
import time
from clickseg.session.background import BackgroundRun

def run_all(progress):
    try:
        while True:
            progress(1, 2)
            time.sleep(0.01)
    finally:
        print("stopped")

background = BackgroundRun(run_all, lambda done, count: None)
time.sleep(0.1)
"""


def test_a_process_that_ends_without_closing_its_session_stops_the_background_run() -> None:
    ended = runs.run_process([sys.executable, "-c", PROGRAM_WITHOUT_CLOSE], PYTHONPATH=str(runs.REPOSITORY))

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "stopped\n", "")


def test_a_closed_session_raises_an_error_and_gives_no_partial_result(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    session = Session(series, models["softmax"], engine=engines["softmax", Runtime.OPENVINO])
    session.close()
    session.close()

    for use in (session.result, session.wait, session.reset, lambda: session.add_click(click_at(series, *CLICK))):
        with pytest.raises(SessionError, match="the session is closed"):
            use()
    assert session.steps == ()


@pytest.mark.parametrize("user", ["a\nb", "\udcff", "a" * 201])
def test_an_unprintable_or_too_long_user_name_is_rejected(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine], user: str
) -> None:
    with (
        Session(series, models["softmax"], engine=engines["softmax", Runtime.OPENVINO]) as session,
        pytest.raises(SessionError, match="user: expected a name of at most 200 printable characters, got"),
    ):
        session.reset(user)


def test_wait_raises_an_error_of_the_background_run(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    engine = ControlledEngine(engines["softmax", Runtime.OPENVINO])
    engine.fails = True
    engine.may_continue.set()
    with (
        Session(series, models["softmax"], engine=engine) as session,
        pytest.raises(EngineError, match="the network fails"),
    ):
        session.wait()


@pytest.mark.parametrize("step", [("undo",), ("redo",), ("remove", 0), ("add", 2.0, 0.5, 0.5, True, True)])
def test_an_impossible_step_is_one_error_and_changes_nothing(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine], step: tuple
) -> None:
    with Session(series, models["softmax"], engine=engines["softmax", Runtime.OPENVINO]) as session:
        assert not try_step(session, series, step)
        assert (session.clicks, session.steps) == ((), ())


def test_the_progress_of_the_background_run_never_decreases(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    reported: list[tuple[int, int]] = []
    engine = ControlledEngine(engines["softmax", Runtime.OPENVINO])
    options = SessionOptions(progress=lambda *progress: reported.append(progress))
    with Session(series, models["softmax"], engine=engine, options=options) as session:
        assert engine.has_started.wait(60)
        threading.Timer(0.2, engine.may_continue.set).start()
        session.add_click(click_at(series, *CORNER))
        session.wait()

        assert reported == [
            (number, session.window_count) for number in range(reported[0][0], session.window_count + 1)
        ]
