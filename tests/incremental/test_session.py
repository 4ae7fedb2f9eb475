"""A session gives, after every step, the bytes of a run of ``clickseg segment`` with the same clicks."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.dicom.volume import Series
from clickseg.engines.choice import Runtime
from clickseg.engines.engine import Engine
from clickseg.errors import ClickError, EngineError
from clickseg.incremental import Session
from clickseg.incremental import window_logits as logits_module
from clickseg.models.package import ModelPackage
from clickseg.pipeline import segment
from tests.incremental.sessions import click, place

POLARITIES = (Polarity.FOREGROUND, Polarity.BACKGROUND)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.booleans()),
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
            case ("add", i, j, k, is_foreground):
                session.add_click(Click("hook", POLARITIES[not is_foreground], place(series, i, j, k)))
            case ("remove", number):
                session.remove_click(number + 1)
            case (name,):
                getattr(session, name)()
    except ClickError:
        return False
    return True


@given(STEPS, st.sampled_from(["softmax", "sigmoid", "clicked"]), st.sampled_from([Runtime.OPENVINO, Runtime.TORCH]))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("place_of_logits", ["memory", "disk", "nowhere"])
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
    keep_at(place_of_logits, monkeypatch)
    with Session([series], models[name], engines[name, runtime]) as session:
        session.wait()
        for step in steps:
            before = session.labels.array.copy()
            if done(session, series, step):
                full = segment([series], Clicks(session.clicks), models[name], engines[name, runtime])
                assert session.labels.array.tobytes() == full.labels.array.tobytes()
            else:
                assert session.labels.array.tobytes() == before.tobytes()


def keep_at(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {
        "memory": lambda keys, *_, **__: logits_module.InMemory(keys),
        "disk": lambda keys, shape, folder, **_: logits_module.OnDisk(keys, folder, shape, is_lasting=False),
        "nowhere": lambda keys, *_, **__: logits_module.Nowhere(keys),
    }
    monkeypatch.setattr("clickseg.incremental.live.window_logits", kinds[where])


CLICK = (0.5, 0.4, 0.6)
OTHER = (0.1, 0.9, 0.2)
CORNER = (0.0, 0.0, 0.0)


def test_a_click_runs_only_the_windows_that_hold_its_ball_and_says_what_changed(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    engine = engines["softmax", Runtime.OPENVINO]
    with Session([series], models["softmax"], engine) as session:
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


def test_the_same_click_again_changes_nothing_and_runs_nothing(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    with Session([series], models["softmax"], engines["softmax", Runtime.OPENVINO]) as session:
        session.add_click(click(series, *CLICK))

        again = session.add_click(click(series, *CLICK))

        assert (again.box, again.windows_run, len(session.clicks)) == (None, 0, 2)


def test_clicks_added_together_are_steps_of_their_own(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    with Session([series], models["softmax"], engines["softmax", Runtime.OPENVINO]) as session:
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
    with Session([series], models["softmax"], slow) as session:
        assert slow.began.wait(60)
        threading.Timer(0.2, slow.go_on.set).start()

        change = session.add_click(click(series, *CORNER))

        assert slow.calls < session.windows
        assert change.windows_run > 0
        session.wait()
        full = segment([series], Clicks(session.clicks), models["softmax"], engines["softmax", Runtime.OPENVINO])
        assert session.labels.array.tobytes() == full.labels.array.tobytes()
        assert slow.calls <= session.windows + change.windows_run  # nothing was run twice


def test_a_session_that_is_closed_early_stops_its_work(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    slow = Slow(engines["softmax", Runtime.OPENVINO])
    session = Session([series], models["softmax"], slow)
    assert slow.began.wait(60)
    threading.Timer(0.2, slow.go_on.set).start()

    session.close()

    assert slow.calls < session.windows


def test_a_step_that_fails_leaves_all_as_it_was(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    slow = Slow(engines["softmax", Runtime.OPENVINO])
    slow.go_on.set()
    with Session([series], models["softmax"], slow) as session:
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
        full = segment([series], Clicks(session.clicks), models["softmax"], engines["softmax", Runtime.OPENVINO])
        assert session.labels.array.tobytes() == full.labels.array.tobytes()


def test_an_error_of_the_run_in_the_background_is_raised_where_it_is_waited_for(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine]
) -> None:
    slow = Slow(engines["softmax", Runtime.OPENVINO])
    slow.fails = True
    slow.go_on.set()
    with Session([series], models["softmax"], slow) as session, pytest.raises(EngineError, match="the network fails"):
        session.wait()


@pytest.mark.parametrize("step", [("undo",), ("redo",), ("remove", 0), ("add", 2.0, 0.5, 0.5, True)])
def test_what_cannot_be_done_is_one_error_and_changes_nothing(
    series: Series, models: dict[str, ModelPackage], engines: dict[tuple[str, Runtime], Engine], step: tuple
) -> None:
    with Session([series], models["softmax"], engines["softmax", Runtime.OPENVINO]) as session:
        assert not done(session, series, step)
        assert (session.clicks, session.steps) == ((), ())
