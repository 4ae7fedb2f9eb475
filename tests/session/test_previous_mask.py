"""A model with its previous mask as input: a run without clicks, then one for each click with the mask before it."""

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
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference import guidance
from clickseg.inference import incremental_inputs as masks_module
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.kernels import NumpyKernels
from clickseg.inference.label_assignment import LabelAssigner
from clickseg.inference.model_grid import ModelGrid
from clickseg.inference.model_input import ModelInput
from clickseg.inference.preprocess import make_case, preprocess
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.models.package import ModelPackage, load_package
from clickseg.session.session import Session
from tests.helpers import phantoms
from tests.helpers.full_run import segment_series
from tests.helpers.sessions import click_at, model_description, position_in

Engines = dict[tuple[str, Runtime], Engine]
FIRST, SECOND, THIRD, CORNER = (0.5, 0.4, 0.6), (0.45, 0.5, 0.55), (0.1, 0.9, 0.2), (1.0, 0.0, 1.0)
REFINING = ("refining", "refining both")
POINTS = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.sampled_from(list(Polarity))), max_size=3
)


def run_naively(series: SeriesVolume, points: tuple[Click, ...], package: ModelPackage, engine: Engine) -> np.ndarray:
    """The label map from runs of all windows, one run after another."""
    prepared, spec = preprocess(make_case([series], Clicks(points), package)), package.spec
    masks: tuple[Mask, ...] = tuple(np.zeros(prepared.inputs.shape, bool) for _ in spec.previous_mask)
    for count in range(len(points) + 1):
        balls = guidance.rasterize_clicks(points[:count], prepared.geometry, spec.guidance)
        window = SlidingWindow(ModelInput(prepared.inputs.images, balls, masks), spec)
        source, model = (
            LabelAssigner(ModelGrid.between(target, prepared.geometry), spec, window.grid.axis, NumpyKernels())
            for target in (series.volume.get_geometry(), prepared.geometry)
        )
        for planes in window.blended_planes(engine, NumpyKernels(), no_progress):
            source.update(planes)
            model.update(planes)
        array = model.label_map().array
        # "refining" has one class; of "refining both" one channel contains c1 (bit 1), one contains either class
        masks = (array == 1,) if len(masks) == 1 else (array[..., 0] & 2 > 0, array[..., 0] > 0)
    return source.label_map().array


@given(POINTS, st.sampled_from(REFINING), st.sampled_from([Runtime.OPENVINO, Runtime.TORCH]))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_result_is_that_of_runs_of_all_windows_in_the_order_of_the_clicks(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: Engines, places: list, name: str, runtime: Runtime
) -> None:
    points = tuple(Click("hook", polarity, position_in(series, *fractions)) for *fractions, polarity in places)

    result = segment_series([series], Clicks(points), models[name], engines[name, runtime])

    assert result.labels.array.tobytes() == run_naively(series, points, models[name], engines[name, runtime]).tobytes()


def test_the_order_of_clicks_matters(series: SeriesVolume, models: dict[str, ModelPackage], engines: Engines) -> None:
    points = (click_at(series, *FIRST), click_at(series, *SECOND, polarity=Polarity.BACKGROUND))
    package, engine = models["refining"], engines["refining", Runtime.OPENVINO]

    first, second = (segment_series([series], Clicks(ordered), package, engine) for ordered in (points, points[::-1]))

    assert (first.labels.array != second.labels.array).any()


def test_only_windows_whose_clicks_or_mask_changed_run_again(series: SeriesVolume, tmp_path: Path) -> None:
    refining = model_description(guidance=phantoms.GUIDANCE | {"previous_mask": [{"takes": ["hook"]}]})
    weights = [
        [0, 0, 0, 0],
        [1, 5, -5, 2],
    ]  # for each voxel: image, both clicks, and the previous mask, so that foreground stays
    package = load_package(phantoms.write_linear_model(tmp_path / "model", refining, weights, bias=[0, 0]))
    engine = make_engine(package, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
    with Session(series, package, engine=engine) as session:
        session.wait()
        first = session.add_click(click_at(series, *THIRD))  # the mask of the first run is new for all windows
        second = session.add_click(click_at(series, *CORNER))  # only the ball of the first click is new in the mask

        assert 0 < second.windows_run < first.windows_run
        assert session.undo().windows_run == 0
        assert session.redo().windows_run == 0


def test_a_click_before_the_end_of_the_first_run_uses_the_mask_of_that_run(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: Engines
) -> None:
    engine = engines["refining", Runtime.OPENVINO]
    with Session(series, models["refining"], engine=engine) as session:
        session.add_click(click_at(series, *FIRST))  # at once

        expected = run_naively(series, session.clicks, models["refining"], engine)
        assert session.label_map.array.tobytes() == expected.tobytes()
        session.wait()
        assert session.label_map.array.tobytes() == expected.tobytes()


def test_removing_an_early_click_replays_those_after_it(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: Engines
) -> None:
    engine = engines["refining", Runtime.OPENVINO]
    with Session(series, models["refining"], engine=engine) as session:
        session.add_clicks([click_at(series, *each) for each in (FIRST, SECOND, THIRD)])

        session.remove_click(1)

        assert session.clicks == (click_at(series, *SECOND), click_at(series, *THIRD))
        expected = run_naively(series, session.clicks, models["refining"], engine)
        assert session.label_map.array.tobytes() == expected.tobytes()


def test_masks_that_are_not_stored_are_recomputed(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks_module, "_MAX_STORED_MASKS", 1)
    engine = engines["refining both", Runtime.OPENVINO]
    with Session(series, models["refining both"], engine=engine) as session:
        session.add_clicks([click_at(series, *each) for each in (FIRST, SECOND, THIRD)])
        session.undo()
        session.undo()

        expected = run_naively(series, session.clicks, models["refining both"], engine)
        assert session.label_map.array.tobytes() == expected.tobytes()


@pytest.mark.parametrize("condition", ["intact", "damaged", "missing", "of another session"])
def test_another_process_uses_the_stored_masks_or_recomputes_them(
    series: SeriesVolume, models: dict[str, ModelPackage], engines: Engines, tmp_path: Path, condition: str
) -> None:
    package, engine, folder = models["refining"], engines["refining", Runtime.OPENVINO], tmp_path / "s"
    with Session(series, package, engine=engine, folder=folder) as session:
        session.add_clicks([click_at(series, *FIRST), click_at(series, *SECOND)])
    for path in sorted((folder / "masks").iterdir()):
        content = path.read_bytes()
        changed = {
            "intact": content,
            "damaged": content[:-1] + bytes([content[-1] ^ 1]),
            "missing": None,
            "of another session": bytes(32) + content[32:],
        }[condition]
        path.unlink() if changed is None else path.write_bytes(changed)

    with Session(series, package, engine=engine, folder=folder) as session:
        session.wait()
        assert (session._inference.windows_run == 0) == (condition == "intact")
        session.add_click(click_at(series, *THIRD))

        expected = run_naively(series, session.clicks, package, engine)
        assert session.label_map.array.tobytes() == expected.tobytes()


def test_a_step_whose_masks_cannot_be_stored_changes_nothing(
    series: SeriesVolume,
    models: dict[str, ModelPackage],
    engines: Engines,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package, engine = models["refining"], engines["refining", Runtime.OPENVINO]
    with Session(series, package, engine=engine, folder=tmp_path / "s") as session:
        session.add_click(click_at(series, *FIRST))
        session.wait()
        before = session.label_map.array.copy()

        with monkeypatch.context() as patch:
            patch.setattr("clickseg.core.checksum_folder.replace_atomically", _raise_disk_full)
            with pytest.raises(OutputError, match="cannot be written"):
                session.add_click(click_at(series, *SECOND))

        assert session.label_map.array.tobytes() == before.tobytes()
        session.add_click(click_at(series, *SECOND))
        expected = run_naively(series, session.clicks, package, engine)
        assert session.label_map.array.tobytes() == expected.tobytes()


def _raise_disk_full(*_: object) -> None:
    raise OSError(28, "No space left on device")
