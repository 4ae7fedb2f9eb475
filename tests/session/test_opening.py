"""What a session is opened with: one series or several, and a network of its own or one that is shared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clickseg.clicks.click import Clicks
from clickseg.core.errors import ModelError, SessionError, UsageError
from clickseg.dicom.volume import Series
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.pipeline import segment
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage
from clickseg.session.record import SESSION
from clickseg.session.session import Session
from tests.helpers.sessions import click

CLICK = (0.5, 0.4, 0.6)


class Closable:
    """An engine that tells whether it was closed."""

    def __init__(self, engine: Engine, device: str = "cpu") -> None:
        self._engine, self.device = engine, device
        self.precision, self.batch, self.weights = engine.precision, engine.batch, engine.weights
        self.describe, self.is_closed = engine.describe, False

    def infer(self, batch: np.ndarray) -> np.ndarray:
        assert not self.is_closed
        return self._engine.infer(batch)

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def model(models: dict[str, ModelPackage]) -> ModelPackage:
    return models["softmax"]


@pytest.fixture
def engine(engines: dict[tuple[str, Runtime], Engine]) -> Closable:
    return Closable(engines["softmax", Runtime.OPENVINO])


@pytest.fixture
def loaded(engine: Closable, monkeypatch: pytest.MonkeyPatch) -> Closable:
    """The engine that sessions load."""
    monkeypatch.setattr("clickseg.session.engine.make_engine", lambda *_: engine)
    return engine


def test_a_session_loads_its_network_for_a_device_and_gives_what_segment_gives(
    series: Series, model: ModelPackage
) -> None:
    with Session(series, model, device="cpu") as session:
        session.add_click(click(series, *CLICK))
        found = session.result()

    engine = make_engine(model, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.AUTO))
    expected = segment([series], Clicks(session.clicks), model, engine)
    assert found.predicted.engine == engine.describe()
    assert found.labels.array.tobytes() == expected.labels.array.tobytes()


def test_the_network_that_a_session_loaded_is_closed_with_it_once(
    series: Series, model: ModelPackage, loaded: Closable
) -> None:
    with Session(series, model) as session:
        session.wait()
        assert not loaded.is_closed

    assert loaded.is_closed
    session.close()


def test_a_session_that_cannot_be_opened_closes_the_network_that_it_loaded(
    series: Series, model: ModelPackage, loaded: Closable, tmp_path: Path
) -> None:
    (tmp_path / SESSION).write_text("{}")

    with pytest.raises(SessionError, match=SESSION):
        Session(series, model, folder=tmp_path)

    assert loaded.is_closed


def test_a_shared_network_stays_open_for_the_next_session(
    series: Series, model: ModelPackage, engine: Closable
) -> None:
    for _ in range(2):
        with Session(series, model, engine=engine) as session:
            session.wait()

    assert not engine.is_closed


def test_a_device_beside_a_network_is_the_one_that_it_runs_on(
    series: Series, model: ModelPackage, engine: Closable
) -> None:
    Session(series, model, device="cpu", engine=engine).close()

    with pytest.raises(SessionError, match="device: expected cpu, where the engine runs, got cuda") as found:
        Session(series, model, device="cuda", engine=engine)
    assert found.value.hint == "name no device beside an engine"


def test_a_device_that_no_runtime_here_has_is_one_clear_error(series: Series, model: ModelPackage) -> None:
    with pytest.raises(UsageError, match="device: expected auto, cpu, cuda or cuda:N, got 'quantum'"):
        Session(series, model, device="quantum")


def test_one_series_is_a_sequence_of_one(series: Series, model: ModelPackage, engine: Closable) -> None:
    found = []
    for each in (series, [series], (series,)):
        with Session(each, model, engine=engine) as session:
            found.append(session.result().labels.array.tobytes())

    assert found == [found[0]] * 3


@pytest.mark.parametrize("count", [0, 2])
def test_more_or_fewer_series_than_the_model_has_inputs_are_refused(
    series: Series, model: ModelPackage, engine: Closable, count: int
) -> None:
    with pytest.raises(ModelError, match=rf"model softmax: expected 1 series \(\w+\), got {count}"):
        Session([series] * count, model, engine=engine)
