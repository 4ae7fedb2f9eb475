"""Opening a session: with one series or several, and with a network of its own or a shared one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clickseg.clicks.click import Clicks
from clickseg.core.errors import ModelError, SessionError, UsageError
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage
from clickseg.session.record import SESSION_FILE
from clickseg.session.session import Session
from tests.helpers.full_run import segment_series
from tests.helpers.sessions import click_at

CLICK = (0.5, 0.4, 0.6)


class Closable:
    """An engine that records whether it was closed."""

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
def loaded_engine(engine: Closable, monkeypatch: pytest.MonkeyPatch) -> Closable:
    """The engine that sessions load in place of a new one."""
    monkeypatch.setattr("clickseg.session.engine.make_engine", lambda *_: engine)
    return engine


def test_a_session_with_mirroring_is_not_resumed_without(
    series: SeriesVolume, models: dict[str, ModelPackage], tmp_path: Path
) -> None:
    settings = RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32)
    on, off = (make_engine(models["mirrored"], replace(settings, mirroring=value)) for value in (True, False))
    with Session(series, models["mirrored"], folder=tmp_path, engine=on):
        pass

    with pytest.raises(SessionError, match=r"engine mirroring differs .* expected 0 2, got off"):
        Session(series, models["mirrored"], folder=tmp_path, engine=off)


def test_a_session_loads_its_network_and_gives_the_result_of_segment(series: SeriesVolume, model: ModelPackage) -> None:
    with Session(series, model, device="cpu") as session:
        session.add_click(click_at(series, *CLICK))
        result = session.result()

    engine = make_engine(model, RuntimeSettings(Runtime.OPENVINO, "cpu"))
    expected = segment_series([series], Clicks(session.clicks), model, engine)
    assert result.prediction.engine == engine.describe()
    assert result.labels.array.tobytes() == expected.labels.array.tobytes()


def test_the_network_that_a_session_loaded_is_closed_with_it_once(
    series: SeriesVolume, model: ModelPackage, loaded_engine: Closable
) -> None:
    with Session(series, model) as session:
        session.wait()
        assert not loaded_engine.is_closed

    assert loaded_engine.is_closed
    session.close()


def test_a_session_that_cannot_be_opened_closes_the_network_that_it_loaded(
    series: SeriesVolume, model: ModelPackage, loaded_engine: Closable, tmp_path: Path
) -> None:
    (tmp_path / SESSION_FILE).write_text("{}")

    with pytest.raises(SessionError, match=SESSION_FILE):
        Session(series, model, folder=tmp_path)

    assert loaded_engine.is_closed


def test_a_shared_network_stays_open_for_the_next_session(
    series: SeriesVolume, model: ModelPackage, engine: Closable
) -> None:
    for _ in range(2):
        with Session(series, model, engine=engine) as session:
            session.wait()

    assert not engine.is_closed


def test_a_device_that_is_passed_with_a_network_must_be_the_networks_device(
    series: SeriesVolume, model: ModelPackage, engine: Closable
) -> None:
    Session(series, model, device="cpu", engine=engine).close()

    with pytest.raises(SessionError, match="device: expected cpu, the device of the shared engine, got cuda") as caught:
        Session(series, model, device="cuda", engine=engine)
    assert caught.value.hint == "pass either device or engine"


def test_an_unknown_device_is_one_clear_error(series: SeriesVolume, model: ModelPackage) -> None:
    with pytest.raises(UsageError, match="device: expected auto, cpu, cuda or cuda:N, got 'quantum'"):
        Session(series, model, device="quantum")


def test_one_series_can_be_passed_alone_or_in_a_sequence(
    series: SeriesVolume, model: ModelPackage, engine: Closable
) -> None:
    results = []
    for argument in (series, [series], (series,)):
        with Session(argument, model, engine=engine) as session:
            results.append(session.result().labels.array.tobytes())

    assert results == [results[0]] * 3


@pytest.mark.parametrize("count", [0, 2])
def test_more_or_fewer_series_than_inputs_are_rejected(
    series: SeriesVolume, model: ModelPackage, engine: Closable, count: int
) -> None:
    with pytest.raises(ModelError, match=rf"model softmax: expected 1 series \(\w+\), got {count}"):
        Session([series] * count, model, engine=engine)
