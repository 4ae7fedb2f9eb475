"""A model that is given its own result: a run without clicks, then one for each click with what it said before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.core.arrays import Mask
from clickseg.core.errors import OutputError
from clickseg.core.progress import no_progress
from clickseg.dicom.volume import Series
from clickseg.inference import guidance
from clickseg.inference import incremental_inputs as masks_module
from clickseg.inference.decision import Decision
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.kernels import PlainKernels
from clickseg.inference.model_input import ModelInput
from clickseg.inference.preprocess import make_case, prepare
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.models.package import ModelPackage, load_package
from clickseg.session.session import Session
from tests.helpers import phantoms
from tests.helpers.full_run import segment_series
from tests.helpers.sessions import click, place, section

Engines = dict[tuple[str, Runtime], Engine]
FIRST, SECOND, THIRD, CORNER = (0.5, 0.4, 0.6), (0.45, 0.5, 0.55), (0.1, 0.9, 0.2), (1.0, 0.0, 1.0)
REFINING = ("refining", "refining both")
POINTS = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.sampled_from(list(Polarity))), max_size=3
)


def naive(series: Series, points: tuple[Click, ...], package: ModelPackage, engine: Engine) -> np.ndarray:
    """The label map, from runs of all windows, one after another."""
    prepared, spec = prepare(make_case([series], Clicks(points), package)), package.spec
    masks: tuple[Mask, ...] = tuple(np.zeros(prepared.inputs.shape, bool) for _ in spec.previous_mask)
    for count in range(len(points) + 1):
        balls = guidance.balls(points[:count], prepared.geometry, spec.guidance)
        window = SlidingWindow(ModelInput(prepared.inputs.images, balls, masks), spec)
        source, model = (
            Decision(prepared.geometry, grid, spec, window.grid.axis, PlainKernels())
            for grid in (series.volume.get_geometry(), prepared.geometry)
        )
        for planes in window.planes(engine, PlainKernels(), no_progress):
            source.take(planes)
            model.take(planes)
        said = model.label_map().array
        # "refining" has one class; of "refining both" one channel shows c1 (bit 1), one shows either
        masks = (said == 1,) if len(masks) == 1 else (said[..., 0] & 2 > 0, said[..., 0] > 0)
    return source.label_map().array


@given(POINTS, st.sampled_from(REFINING), st.sampled_from([Runtime.OPENVINO, Runtime.TORCH]))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_defined_by_runs_of_all_windows_in_the_order_of_the_clicks(
    series: Series, models: dict[str, ModelPackage], engines: Engines, places: list, name: str, runtime: Runtime
) -> None:
    points = tuple(Click("hook", polarity, place(series, *parts)) for *parts, polarity in places)

    found = segment_series([series], Clicks(points), models[name], engines[name, runtime])

    assert found.labels.array.tobytes() == naive(series, points, models[name], engines[name, runtime]).tobytes()


def test_the_order_of_clicks_matters(series: Series, models: dict[str, ModelPackage], engines: Engines) -> None:
    points = (click(series, *FIRST), click(series, *SECOND, polarity=Polarity.BACKGROUND))
    package, engine = models["refining"], engines["refining", Runtime.OPENVINO]

    one, other = (segment_series([series], Clicks(each), package, engine) for each in (points, points[::-1]))

    assert (one.labels.array != other.labels.array).any()


def test_only_windows_whose_clicks_or_mask_changed_run_again(series: Series, tmp_path: Path) -> None:
    refining = section(guidance=phantoms.GUIDANCE | {"previous_mask": [{"takes": ["hook"]}]})
    weights = [[0, 0, 0, 0], [1, 5, -5, 2]]  # by voxel: image, both clicks, and what was found stays
    package = load_package(phantoms.linear_model(tmp_path / "model", refining, weights, bias=[0, 0]))
    engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
    with Session(series, package, engine=engine) as session:
        session.wait()
        first = session.add_click(click(series, *THIRD))  # with the mask of the first run, which is new to all windows
        second = session.add_click(click(series, *CORNER))  # with the mask in which the first click's ball is new

        assert 0 < second.windows_run < first.windows_run
        assert session.undo().windows_run == 0
        assert session.redo().windows_run == 0


def test_a_click_that_comes_before_the_first_run_is_over_counts_from_what_that_says(
    series: Series, models: dict[str, ModelPackage], engines: Engines
) -> None:
    engine = engines["refining", Runtime.OPENVINO]
    with Session(series, models["refining"], engine=engine) as session:
        session.add_click(click(series, *FIRST))  # at once

        expected = naive(series, session.clicks, models["refining"], engine)
        assert session.labels.array.tobytes() == expected.tobytes()
        session.wait()
        assert session.labels.array.tobytes() == expected.tobytes()


def test_removing_an_early_click_replays_those_after_it(
    series: Series, models: dict[str, ModelPackage], engines: Engines
) -> None:
    engine = engines["refining", Runtime.OPENVINO]
    with Session(series, models["refining"], engine=engine) as session:
        session.add_clicks([click(series, *each) for each in (FIRST, SECOND, THIRD)])

        session.remove_click(1)

        assert session.clicks == (click(series, *SECOND), click(series, *THIRD))
        expected = naive(series, session.clicks, models["refining"], engine)
        assert session.labels.array.tobytes() == expected.tobytes()


def test_masks_that_are_not_kept_are_made_anew(
    series: Series, models: dict[str, ModelPackage], engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks_module, "_KEPT", 1)
    engine = engines["refining both", Runtime.OPENVINO]
    with Session(series, models["refining both"], engine=engine) as session:
        session.add_clicks([click(series, *each) for each in (FIRST, SECOND, THIRD)])
        session.undo()
        session.undo()

        expected = naive(series, session.clicks, models["refining both"], engine)
        assert session.labels.array.tobytes() == expected.tobytes()


@pytest.mark.parametrize("what", ["whole", "damaged", "gone", "of another session"])
def test_another_process_goes_on_with_the_masks_or_makes_them_anew(
    series: Series, models: dict[str, ModelPackage], engines: Engines, tmp_path: Path, what: str
) -> None:
    package, engine, folder = models["refining"], engines["refining", Runtime.OPENVINO], tmp_path / "s"
    with Session(series, package, engine=engine, folder=folder) as session:
        session.add_clicks([click(series, *FIRST), click(series, *SECOND)])
    for path in sorted((folder / "masks").iterdir()):
        content = path.read_bytes()
        changed = {
            "whole": content,
            "damaged": content[:-1] + bytes([content[-1] ^ 1]),
            "gone": None,
            "of another session": bytes(32) + content[32:],
        }[what]
        path.unlink() if changed is None else path.write_bytes(changed)

    with Session(series, package, engine=engine, folder=folder) as session:
        session.wait()
        assert (session._inference.ran == 0) == (what == "whole")
        session.add_click(click(series, *THIRD))

        expected = naive(series, session.clicks, package, engine)
        assert session.labels.array.tobytes() == expected.tobytes()


def test_a_step_whose_masks_cannot_be_kept_leaves_all_as_it_was(
    series: Series, models: dict[str, ModelPackage], engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, engine = models["refining"], engines["refining", Runtime.OPENVINO]
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.add_click(click(series, *FIRST))
        session.wait()
        before = session.labels.array.copy()

        with monkeypatch.context() as full:
            full.setattr("clickseg.core.sealed.replace_whole", _disk_is_full)
            with pytest.raises(OutputError, match="cannot be kept"):
                session.add_click(click(series, *SECOND))

        assert session.labels.array.tobytes() == before.tobytes()
        session.add_click(click(series, *SECOND))
        expected = naive(series, session.clicks, package, engine)
        assert session.labels.array.tobytes() == expected.tobytes()


def _disk_is_full(*_: object) -> None:
    raise OSError(28, "No space left on device")
