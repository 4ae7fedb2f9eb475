"""A step that is interrupted anywhere, and again while it is made up for, was either done or was not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest

from clickseg.clicks.click import Clicks
from clickseg.core.files import replace_whole
from clickseg.dicom.volume import Series
from clickseg.inference.engines.engine import Engine
from clickseg.inference.runtime_settings import Runtime
from clickseg.models.package import ModelPackage
from clickseg.session.session import Session
from tests.helpers.full_run import segment_series
from tests.helpers.sessions import click

FIRST, SECOND = (0.5, 0.4, 0.6), (0.1, 0.9, 0.2)


class Interrupts:
    """Raises KeyboardInterrupt as some calls of Python functions begin, where CPython looks for signals."""

    def __init__(self, *calls: int) -> None:
        self._left, self.calls = sorted(calls, reverse=True), 0
        self._before = sys.gettrace()  # that of coverage, which is to go on afterwards

    def __enter__(self) -> Interrupts:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> bool:
        sys.settrace(self._before)
        return False

    def _trace(self, _frame: FrameType, _event: str, _argument: object) -> None:
        self.calls += 1
        if self._left and self.calls >= self._left[-1]:
            self._left.pop()
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["clicked", "refining both"])
def test_wherever_a_step_is_interrupted_it_was_done_or_was_not(
    series: Series,
    models: dict[str, ModelPackage],
    engines: dict[tuple[str, Runtime], Engine],
    tmp_path: Path,
    name: str,
) -> None:
    package, engine = models[name], engines[name, Runtime.OPENVINO]
    clicks = (click(series, *FIRST), click(series, *SECOND))
    full = {each: segment_series([series], Clicks(each), package, engine) for each in (clicks[:1], clicks)}
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.add_click(clicks[0])
        session.wait()
        for _ in range(2):  # the second time all is known that can be
            with Interrupts() as counted:
                session.add_click(clicks[1])
            session.undo()
        last, interrupted = counted.calls, 0
        places = [*range(1, last, last // 12), *range(last - 30, last)]
        for number, place in enumerate(places):
            try:
                with Interrupts(place, place + 1 + number % 7):
                    session.add_click(clicks[1])
            except KeyboardInterrupt:
                interrupted += 1

            found = session.result()

            expected = full[session.clicks]
            assert found.labels.array.tobytes() == session.labels.array.tobytes() == expected.labels.array.tobytes()
            assert (found.removed, session.measured()) == (expected.removed, expected.measured)
            if session.clicks == clicks:
                session.undo()
        assert interrupted > len(places) / 2
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        assert session.clicks == clicks[:1]


def test_a_step_that_is_interrupted_when_it_was_kept_counts(
    series: Series,
    models: dict[str, ModelPackage],
    engines: dict[tuple[str, Runtime], Engine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package, engine = models["softmax"], engines["softmax", Runtime.OPENVINO]

    def kept_and_interrupted(path: Path, content: bytes) -> None:
        replace_whole(path, content)
        raise KeyboardInterrupt

    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.wait()
        with monkeypatch.context() as patch:
            patch.setattr("clickseg.session.record.replace_whole", kept_and_interrupted)
            with pytest.raises(KeyboardInterrupt):
                session.add_click(click(series, *FIRST))

        found = session.result()

        assert session.clicks == (click(series, *FIRST),)
        expected = segment_series([series], Clicks(session.clicks), package, engine)
        assert found.labels.array.tobytes() == expected.labels.array.tobytes()
