"""Components that are removed on the model grid, before its labels are brought to the source grid, as in MONAI."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from clickseg.clicks.click import Clicks
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.spec import ModelSpec
from clickseg.session.session import Session
from tests.helpers import phantoms
from tests.helpers.full_run import segment_series
from tests.helpers.inference import keep_largest_components
from tests.helpers.oracles import (
    Compose,
    Invertd,
    MetaTensor,
    Orientationd,
    ScaleIntensityRanged,
    Spacingd,
    torch,
)
from tests.helpers.sessions import click_at, model_description

RUNTIME = RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32)
SPACING_MM = (1.63, 1.81, 3.37)
GRID = {"spacing_mm": SPACING_MM, "orientation": "RAS"}
RANGE = {"kind": "range", "a_min": -400, "a_max": 400, "b_min": -1, "b_max": 1}
CT = {"name": "ct", "modality": "CT", "unit": "HU", "scaling": RANGE}
WEIGHTS, BIAS = [[0.0], [-3.0], [6.0]], [0.5, 0.0, -1.0]
RULES = {"keep": "largest", "keep_count": 2, "keep_classes": ["low"], "connectivity": "full", "grid": "model"}
CROP = {"voxels": "positive", "values": "source", "grid": "source", "margin_vox": 1}
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> SeriesVolume:
    geometry = phantoms.oblique_geometry((17, 19, 26))
    noise = gaussian_filter(np.random.default_rng(4).normal(size=geometry.spatial_shape), 1.1)
    volume = geometry.with_array(np.round(1600 * noise).astype(np.float32))
    return phantoms.read(phantoms.write(tmp_path_factory.mktemp("series"), volume))


def test_labels_are_those_of_monai(series: SeriesVolume, tmp_path: Path) -> None:
    section = phantoms.metadata(
        inputs=[CT],
        grid=GRID,
        output_channels=3,
        classes=[phantoms.organ("low", 1), phantoms.organ("high", 2)],
        interpolation="labels",
        postprocessing=RULES,
    )
    package = load_package(phantoms.write_linear_model(tmp_path / "model", section, WEIGHTS, BIAS))

    result = segment_series([series], Clicks(), package, make_engine(package, RUNTIME))

    volume = series.volume
    pipeline = Compose(
        [
            Orientationd("image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            Spacingd("image", pixdim=SPACING_MM, mode="bilinear", padding_mode="border"),
            ScaleIntensityRanged("image", -400, 400, -1, 1, clip=True),
        ]
    )
    affine = torch.from_numpy(LPS_TO_RAS @ volume.affine)
    data = pipeline({"image": MetaTensor(torch.from_numpy(volume.array.copy())[None], affine=affine)})
    logits = torch.tensor(WEIGHTS)[:, :, None, None] * data["image"][0] + torch.tensor(BIAS)[:, None, None, None]
    labels = logits.argmax(0).numpy()
    kept = keep_largest_components(labels, [1], 2, "full")
    data["pred"] = MetaTensor(torch.from_numpy(kept)[None].float(), meta=data["image"].meta)
    expected = Invertd("pred", pipeline, "image", nearest_interp=True)(data)["pred"][0].numpy()
    np.testing.assert_array_equal(result.labels.array, expected)
    assert (labels != kept).sum() > 10
    removed_ml = (labels != kept).sum() * np.prod(SPACING_MM) / 1000
    assert result.removed[0].components_ml == pytest.approx(removed_ml, rel=1e-5)
    assert result.removed[1].component_count == 0


@pytest.fixture(scope="module")
def clicked(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    weights = [[0, 0, 0], [3, 9, -9]]
    section = model_description(inputs=[CT], interpolation="labels")
    return load_package(phantoms.write_linear_model(tmp_path_factory.mktemp("clicked"), section, weights, [0, -0.9]))


@pytest.mark.parametrize("crop", [None, CROP, CROP | {"values": "scaled", "grid": "model"}], ids=str)
@pytest.mark.parametrize("keep", ["largest", "clicked"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_session_has_the_bytes_of_a_full_run(
    series: SeriesVolume, clicked: ModelPackage, activation: str, keep: str, crop: dict | None
) -> None:
    rules = {"keep": keep, "grid": "model", "min_volume_ml": 0.02}
    package = change(clicked, activation=activation, postprocessing=rules, crop=crop)
    engine = make_engine(package, RUNTIME)
    with Session(series, package, engine=engine) as session:
        for fractions in ((0.3, 0.4, 0.5), (0.7, 0.7, 0.8), (0.45, 0.5, 0.55)):
            session.add_click(click_at(series, *fractions))
        session.undo()
        result = session.result()
        full = segment_series([series], Clicks(session.clicks), package, engine)
        without = segment_series([series], Clicks(session.clicks), package, engine, postprocessing=False)

    assert result.labels.array.any()
    assert result.labels.array.tobytes() == full.labels.array.tobytes()
    assert result.removed == full.removed
    assert (full.labels.array != without.labels.array).any()


def test_a_previous_mask_is_not_changed_by_rules_on_the_model_grid(series: SeriesVolume, tmp_path: Path) -> None:
    guidance = phantoms.GUIDANCE | {"previous_mask": [{"takes": ["hook"]}]}
    section = model_description(inputs=[CT], interpolation="labels", guidance=guidance)
    weights = [[0, 0, 0, 0], [3, 9, -9, 1]]
    package = load_package(phantoms.write_linear_model(tmp_path / "model", section, weights, [0, -0.9]))
    engine, clicks = make_engine(package, RUNTIME), Clicks((click_at(series, 0.3, 0.4, 0.5),))
    changed = change(package, postprocessing={"keep": "largest", "grid": "model"})

    raw = segment_series([series], clicks, package, engine)
    kept = segment_series([series], clicks, changed, engine)

    assert 0 < kept.labels.array.sum() < raw.labels.array.sum()
    assert (raw.labels.array[kept.labels.array > 0] == 1).all()


def change(package: ModelPackage, **changes: object) -> ModelPackage:
    """Returns the same network with other fields of its specification."""
    return replace(package, spec=ModelSpec.model_validate(package.spec.model_dump(mode="json") | changes))


@pytest.mark.parametrize("alternative", [False, True])
def test_a_minimum_value_is_rejected_on_the_model_grid(alternative: bool) -> None:
    pet = {"modality": "PT", "unit": "SUVbw", "scaling": RANGE, "min_value": 0.5}
    inputs = [CT | ({"alternatives": [pet]} if alternative else {})]
    rules = {"keep": "largest", "grid": "model"} | ({} if alternative else {"min_value": 1})

    with pytest.raises(ValidationError, match="grid model: expected no min_value"):
        ModelSpec.model_validate(phantoms.metadata(inputs=inputs, interpolation="labels", postprocessing=rules))
