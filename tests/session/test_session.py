"""A session gives, after every step, the bytes of a run of ``clickseg segment`` with the same clicks."""

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
from clickseg.dicom.volume import Series
from clickseg.inference import incremental_logits as logits_module
from clickseg.inference.engines.engine import Engine
from clickseg.inference.incremental_inputs import empty_keys
from clickseg.inference.resample import OnModelGrid
from clickseg.inference.runtime_settings import Runtime
from clickseg.inference.windows import WindowGrid
from clickseg.models.package import ModelPackage
from clickseg.session.options import SessionOptions
from clickseg.session.session import Session
from clickseg.session.state import State, Validity
from tests.helpers import runs
from tests.helpers.full_run import segment_series
from tests.helpers.sessions import click, place

PLACES = ("memory", "scratch", "disk", "nowhere")
MODELS = ("softmax", "sigmoid", "two labels", "clicked", "refining", "refining both")
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


def done(session: Session, series: Series, step: tuple) -> bool:
    """Whether a step could be done."""
    try:
        match step:
            case ("add", i, j, k, is_foreground, is_hook):
                label = "hook" if is_hook else session._case.package.spec.classes[-1].name
                session.add_click(Click(label, POLARITIES[not is_foreground], place(series, i, j, k)))
            case ("remove", number):
                session.remove_click(number + 1)
            case (name,):
                getattr(session, name)()
    except ClickError:
        return False
    return True


@given(STEPS, st.sampled_from(MODELS), st.sampled_from([Runtime.OPENVINO, Runtime.TORCH]))
@settings(max_examples=16, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("place_of_logits", PLACES)
def test_each_step_gives_the_bytes_of_a_full_run(
    series: Series,
    models: dict[str, ModelPackage],
    engines: dict[tuple[str, Runtime], Engine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place_of_logits: str,
    steps: list[tuple],
    name: str,
    runtime: Runtime,
) -> None:
    keep_at(place_of_logits, tmp_path, monkeypatch)
    with Session(series, models[name], engine=engines[name, runtime]) as session:
        session.wait()
        for step in steps:
            before = session.labels.array.copy()
            if done(session, series, step):
                full = segment_series([series], Clicks(session.clicks), models[name], engines[name, runtime])
                assert session.labels.array.tobytes() == full.labels.array.tobytes()
                assert session.measured() == full.measured
            else:
                assert session.labels.array.tobytes() == before.tobytes()


def keep_at(where: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {
        "memory": lambda keys, shape, **_: logits_module.InMemory(keys, shape),
        "scratch": lambda keys, shape, **_: logits_module.InScratch(keys, folder, shape),
        "disk": lambda keys, shape, **_: logits_module.OnDisk(keys, folder / uuid.uuid4().hex, shape, b""),
        "nowhere": lambda *_, **__: logits_module.NullStore(),
    }
    monkeypatch.setattr("clickseg.inference.incremental.window_logits", kinds[where])


CLICK = (0.5, 0.4, 0.6)
OTHER = (0.1, 0.9, 0.2)
CORNER = (0.0, 0.0, 0.0)


def test_a_click_runs_only_the_windows_that_hold_its_ball_and_says_what_changed(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    engine = engines["softmax", Runtime.OPENVINO]
    with Session(series, models["softmax"], engine=engine) as session:
        session.wait()
        before = session.labels.array.copy()

        change = session.add_click(click(series, *CORNER))

        differs = np.argwhere(session.labels.array != before)
        assert 0 < change.windows_run < session.windows / 2
        assert change.box is not None
        assert [part.start for part in change.box] == differs.min(axis=0).tolist()
        assert [part.stop - 1 for part in change.box] == differs.max(axis=0).tolist()
        assert session.undo().windows_run == 0  # it is known what the network says without the click
        assert session.labels.array.tobytes() == before.tobytes()


def test_a_click_makes_only_the_part_of_the_image_that_its_windows_hold(
    series: Series,
    models: dict[str, ModelPackage],
    engines: dict[tuple[str, Runtime], Engine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part, made = OnModelGrid.part, []

    def noted(image: OnModelGrid, box: tuple[slice, slice, slice]) -> np.ndarray:
        found = part(image, box)
        made.append(found.size)
        return found

    with Session(series, models["softmax"], engine=engines["softmax", Runtime.OPENVINO]) as session:
        session.wait()
        monkeypatch.setattr(OnModelGrid, "part", noted)
        change = session.add_click(click(series, *CORNER))

    assert change.windows_run < session.windows / 2
    assert 0 < sum(made) <= change.windows_run * 8**3


@pytest.mark.parametrize("place_of_logits", ["memory", "scratch", "disk"])
def test_the_last_step_is_undone_without_running_anything_whatever_came_before(
    series: Series,
    models: dict[str, ModelPackage],
    engines: dict[tuple[str, Runtime], Engine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place_of_logits: str,
) -> None:
    keep_at(place_of_logits, tmp_path, monkeypatch)
    with Session(series, models["softmax"], engine=engines["softmax", Runtime.OPENVINO]) as session:
        session.wait()
        for parts in (CLICK, (0.5, 0.4, 0.7), CLICK, (0.4, 0.4, 0.6)):
            assert session.add_click(click(series, *parts)).windows_run > 0 or parts == CLICK
            assert session.undo().windows_run == 0


def test_a_session_without_a_folder_leaves_no_name_on_the_disk(
    series: Series,
    models: dict[str, ModelPackage],
    engines: dict[tuple[str, Runtime], Engine],
    tmp_path: Path,
) -> None:
    memory = Memory(1, tmp_path)  # so little that nothing is kept in memory
    with (
        contextlib.suppress(MemoryLimitError),
        Session(
            series,
            models["softmax"],
            engine=engines["softmax", Runtime.OPENVINO],
            options=SessionOptions(memory=memory),
        ) as session,
    ):
        assert isinstance(session._inference._logits, logits_module.InScratch)
        assert not list(tmp_path.iterdir())
        session.wait()


def test_what_the_logits_will_take_is_left_to_them(series: Series, models: dict[str, ModelPackage]) -> None:
    grid = WindowGrid.over((20, 9, 8), models["softmax"].spec.window)
    kept = logits_module.InMemory(empty_keys(grid), (1, 8, 8, 8))
    size = 8**3 * 4
    assert kept.bytes_to_come == 2 * len(grid) * size

    for window in grid:
        kept.put(window, np.zeros((1, 8, 8, 8), np.float32))
        kept.put(window, np.ones((1, 8, 8, 8), np.float32))

    assert kept.bytes_to_come == len(grid) * size


def test_the_same_click_again_changes_nothing_and_runs_nothing(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    with Session(series, models["softmax"], engine=engines["softmax", Runtime.OPENVINO]) as session:
        session.add_click(click(series, *CLICK))

        again = session.add_click(click(series, *CLICK))

        assert (again.box, again.windows_run, len(session.clicks)) == (None, 0, 2)


def test_clicks_added_together_are_steps_of_their_own(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    with Session(series, models["softmax"], engine=engines["softmax", Runtime.OPENVINO]) as session:
        session.add_clicks([click(series, *CLICK), click(series, *OTHER)], user="ann")
        session.undo()

        assert session.clicks == (click(series, *CLICK),)
        assert [(step.action.value, step.user) for step in session.steps] == [
            ("add", "ann"),
            ("add", "ann"),
            ("undo", ""),
        ]


class Slow:
    """An engine that counts, waits for a sign, and fails when it is told to."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.device, self.precision, self.batch = engine.device, engine.precision, engine.batch
        self.weights, self.describe = engine.weights, engine.describe
        self.go_on, self.began = threading.Event(), threading.Event()
        self.fails, self.calls = False, 0

    def infer(self, batch: np.ndarray) -> np.ndarray:
        self.began.set()
        assert self.go_on.wait(60)
        self.calls += 1
        if self.fails:
            raise EngineError("the network fails")
        return self._engine.infer(batch)


def test_a_click_goes_before_the_run_in_the_background(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    slow = Slow(engines["softmax", Runtime.OPENVINO])
    with Session(series, models["softmax"], engine=slow) as session:
        assert slow.began.wait(60)
        threading.Timer(0.2, slow.go_on.set).start()

        change = session.add_click(click(series, *CORNER))

        assert slow.calls < session.windows
        assert change.windows_run > 0
        session.wait()
        full = segment_series([series], Clicks(session.clicks), models["softmax"], engines["softmax", Runtime.OPENVINO])
        assert session.labels.array.tobytes() == full.labels.array.tobytes()
        assert slow.calls <= session.windows + change.windows_run  # nothing was run twice


def test_a_session_that_is_closed_early_stops_its_work(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    slow = Slow(engines["softmax", Runtime.OPENVINO])
    session = Session(series, models["softmax"], engine=slow)
    assert slow.began.wait(60)
    threading.Timer(0.2, slow.go_on.set).start()

    session.close()

    assert slow.calls < session.windows


def test_a_step_that_fails_leaves_all_as_it_was(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    slow = Slow(engines["softmax", Runtime.OPENVINO])
    slow.go_on.set()
    with Session(series, models["softmax"], engine=slow) as session:
        session.add_click(click(series, *OTHER))
        session.wait()
        before = session.labels.array.copy()

        slow.fails = True
        with pytest.raises(EngineError, match="the network fails"):
            session.add_click(click(series, *CLICK))

        slow.fails = False
        assert session.labels.array.tobytes() == before.tobytes()
        assert session.clicks == (click(series, *OTHER),)
        session.add_click(click(series, *CLICK))
        full = segment_series([series], Clicks(session.clicks), models["softmax"], engines["softmax", Runtime.OPENVINO])
        assert session.labels.array.tobytes() == full.labels.array.tobytes()


@pytest.mark.parametrize("name", ["softmax", "clicked"])
@pytest.mark.parametrize("where", ["move_to", "update"])
def test_an_interrupted_step_is_made_up_for_before_anything_else(
    series: Series,
    models: dict[str, ModelPackage],
    engines: dict[tuple[str, Runtime], Engine],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    where: str,
) -> None:
    with Session(series, models[name], engine=engines[name, Runtime.OPENVINO]) as session:
        session.wait()
        owner = session._inference if where == "move_to" else session._view
        function, calls = getattr(owner, where), []

        def interrupted(*arguments: object) -> None:
            calls.append(function(*arguments))
            raise KeyboardInterrupt

        monkeypatch.setattr(owner, where, interrupted)
        with pytest.raises(KeyboardInterrupt):  # where nothing is as it was: the way back is interrupted too
            session.add_click(click(series, *CLICK))
        monkeypatch.undo()
        assert session._state.validity is (Validity.STALE if where == "move_to" else Validity.IN_DOUBT)

        full = segment_series([series], Clicks(session.clicks), models[name], engines[name, Runtime.OPENVINO])
        assert session.result().labels.array.tobytes() == full.labels.array.tobytes()
        assert session._state == State(Validity.CLEAN, session.clicks)
        session.add_click(click(series, *OTHER))
        full = segment_series([series], Clicks(session.clicks), models[name], engines[name, Runtime.OPENVINO])
        assert session.labels.array.tobytes() == full.labels.array.tobytes()
        assert calls


ENDS_EARLY = """
import time
from clickseg.session.background import FirstRun

def run_all(progress):
    try:
        while True:
            progress(1, 2)
            time.sleep(0.01)
    finally:
        print("stopped")

first = FirstRun(run_all, lambda done, count: None)
time.sleep(0.1)
"""


def test_a_process_that_ends_without_closing_its_session_stops_its_work_first() -> None:
    ended = runs.process([sys.executable, "-c", ENDS_EARLY], PYTHONPATH=str(runs.REPOSITORY))

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "stopped\n", "")


def test_a_closed_session_says_so_and_gives_no_part_of_a_result(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    session = Session(series, models["softmax"], engine=engines["softmax", Runtime.OPENVINO])
    session.close()
    session.close()

    for use in (session.result, session.wait, session.reset, lambda: session.add_click(click(series, *CLICK))):
        with pytest.raises(SessionError, match="the session is closed"):
            use()
    assert session.steps == ()


@pytest.mark.parametrize("user", ["a\nb", "\udcff", "a" * 201])
def test_a_name_that_could_not_be_read_again_is_refused(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine], user: str
) -> None:
    with (
        Session(series, models["softmax"], engine=engines["softmax", Runtime.OPENVINO]) as session,
        pytest.raises(SessionError, match="user: expected a name of at most 200 characters that can be printed, got"),
    ):
        session.reset(user)


def test_an_error_of_the_run_in_the_background_is_raised_where_it_is_waited_for(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    slow = Slow(engines["softmax", Runtime.OPENVINO])
    slow.fails = True
    slow.go_on.set()
    with (
        Session(series, models["softmax"], engine=slow) as session,
        pytest.raises(EngineError, match="the network fails"),
    ):
        session.wait()


@pytest.mark.parametrize("step", [("undo",), ("redo",), ("remove", 0), ("add", 2.0, 0.5, 0.5, True, True)])
def test_what_cannot_be_done_is_one_error_and_changes_nothing(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine], step: tuple
) -> None:
    with Session(series, models["softmax"], engine=engines["softmax", Runtime.OPENVINO]) as session:
        assert not done(session, series, step)
        assert (session.clicks, session.steps) == ((), ())


def test_the_progress_of_the_run_in_the_background_never_goes_back(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    told: list[tuple[int, int]] = []
    slow = Slow(engines["softmax", Runtime.OPENVINO])
    options = SessionOptions(progress=lambda *each: told.append(each))
    with Session(series, models["softmax"], engine=slow, options=options) as session:
        assert slow.began.wait(60)
        threading.Timer(0.2, slow.go_on.set).start()
        session.add_click(click(series, *CORNER))
        session.wait()

        assert told == [(number, session.windows) for number in range(told[0][0], session.windows + 1)]
