"""A step that is interrupted at any point, and again during recovery, is either applied completely or not at all."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest

from clickseg.clicks.click import Clicks
from clickseg.core.files import replace_atomically
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.engines.engine import Engine
from clickseg.inference.runtime_settings import Runtime
from clickseg.models.package import ModelPackage
from clickseg.session.session import Session
from tests.helpers.full_run import segment_series
from tests.helpers.sessions import click_at

FIRST, SECOND = (0.5, 0.4, 0.6), (0.1, 0.9, 0.2)


class Interrupts:
    """Raises KeyboardInterrupt at the start of some calls of Python functions, where CPython checks for signals."""

    def __init__(self, *calls: int) -> None:
        self._remaining, self.calls = sorted(calls, reverse=True), 0
        self._previous = sys.gettrace()  # the trace function of coverage, restored afterwards

    def __enter__(self) -> Interrupts:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> bool:
        sys.settrace(self._previous)
        return False

    def _trace(self, _frame: FrameType, _event: str, _argument: object) -> None:
        self.calls += 1
        if self._remaining and self.calls >= self._remaining[-1]:
            self._remaining.pop()
            raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # while a generator is freed
@pytest.mark.parametrize("name", ["clicked", "refining both"])
def test_a_step_interrupted_at_any_point_is_applied_or_not(
    series: SeriesVolume,
    models: dict[str, ModelPackage],
    engines: dict[tuple[str, Runtime], Engine],
    tmp_path: Path,
    name: str,
) -> None:
    package, engine = models[name], engines[name, Runtime.OPENVINO]
    clicks = (click_at(series, *FIRST), click_at(series, *SECOND))
    full_runs = {points: segment_series([series], Clicks(points), package, engine) for points in (clicks[:1], clicks)}
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.add_click(clicks[0])
        session.wait()
        for _ in range(2):  # the second time, all windows are reused
            with Interrupts() as uninterrupted:
                session.add_click(clicks[1])
            session.undo()
        last, interrupted = uninterrupted.calls, 0
        call_numbers = [*range(1, last, last // 12), *range(last - 30, last)]
        for number, call in enumerate(call_numbers):
            try:
                with Interrupts(call, call + 1 + number % 7):
                    session.add_click(clicks[1])
            except KeyboardInterrupt:
                interrupted += 1

            result = session.result()

            expected = full_runs[session.clicks]
            assert result.labels.array.tobytes() == session.label_map.array.tobytes() == expected.labels.array.tobytes()
            assert (result.removed, session.measurements()) == (expected.removed, expected.measurements)
            if session.clicks == clicks:
                session.undo()
        assert interrupted > len(call_numbers) / 2
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        assert session.clicks == clicks[:1]


def test_a_step_that_is_interrupted_after_it_was_stored_is_applied(
    series: SeriesVolume,
    models: dict[str, ModelPackage],
    engines: dict[tuple[str, Runtime], Engine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package, engine = models["softmax"], engines["softmax", Runtime.OPENVINO]

    def store_and_interrupt(path: Path, content: bytes) -> None:
        replace_atomically(path, content)
        raise KeyboardInterrupt

    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.wait()
        with monkeypatch.context() as patch:
            patch.setattr("clickseg.session.record.replace_atomically", store_and_interrupt)
            with pytest.raises(KeyboardInterrupt):
                session.add_click(click_at(series, *FIRST))

        result = session.result()

        assert session.clicks == (click_at(series, *FIRST),)
        expected = segment_series([series], Clicks(session.clicks), package, engine)
        assert result.labels.array.tobytes() == expected.labels.array.tobytes()
