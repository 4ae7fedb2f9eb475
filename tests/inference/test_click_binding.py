"""Each click gets a class of the model and is inside the series, or is rejected; no click is clamped or skipped."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pytest

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.core.errors import ClickError
from clickseg.inference.click_binding import bind_clicks
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms

FG, BG = Polarity.FOREGROUND, Polarity.BACKGROUND


@pytest.fixture
def geometry() -> hd.VolumeGeometry:
    return phantoms.oblique_geometry()


def make_spec(*names: str, aliases: tuple[str, ...] = ()) -> ModelSpec:
    classes = [phantoms.organ(name, channel, aliases=aliases * (channel == 1)) for channel, name in enumerate(names, 1)]
    takes = [[name, polarity] for name in names for polarity in ("foreground", "background")]
    guidance = {"kind": "ball", "radius_vox": 2, "channels": [{"takes": takes}]}
    return ModelSpec.model_validate(
        phantoms.metadata(classes=classes, output_channels=len(names) + 1, guidance=guidance)
    )


def position_mm(geometry: hd.VolumeGeometry, *index: float) -> tuple[float, float, float]:
    x, y, z = geometry.map_indices_to_reference(np.array([index]))[0]
    return float(x), float(y), float(z)


def bind_points(geometry: hd.VolumeGeometry, spec: ModelSpec, *clicks: Click, **source: str) -> tuple[Click, ...]:
    return bind_clicks(Clicks(clicks, source="c.json", **source), spec, geometry, "1.2.4").points


@pytest.mark.parametrize(
    "label", ["lesion", "LESION", " Lesion ", "tumour", "Tumor", "lesion-3", "", "F", "F-1", "foreground", "Click_12"]
)
def test_labels_aliases_and_generic_names_mean_the_only_class(geometry: hd.VolumeGeometry, label: str) -> None:
    spec = make_spec("lesion", aliases=("tumor", "tumour"))

    (click,) = bind_points(geometry, spec, Click(label, FG, position_mm(geometry, 1, 2, 3)))

    assert click == Click("lesion", FG, position_mm(geometry, 1, 2, 3))


def test_an_unknown_label_is_rejected_with_the_list_of_known_labels(geometry: hd.VolumeGeometry) -> None:
    with pytest.raises(ClickError, match=r"c\.json: click 2: unknown label 'spleen': expected one of liver, kidney"):
        bind_points(
            geometry,
            make_spec("liver", "kidney"),
            *(Click(n, FG, position_mm(geometry, 1, 2, 3)) for n in ("liver", "spleen")),
        )


def test_a_click_without_label_is_rejected_if_the_model_has_several_classes(geometry: hd.VolumeGeometry) -> None:
    with pytest.raises(ClickError, match=r"no label, and the model has several classes: expected one of liver, kidney"):
        bind_points(geometry, make_spec("liver", "kidney"), Click("F", FG, position_mm(geometry, 1, 2, 3)))


def test_a_class_name_that_ends_in_a_number_is_not_mistaken_for_a_numbered_click(geometry: hd.VolumeGeometry) -> None:
    (click,) = bind_points(
        geometry, make_spec("segment 1", "segment"), Click("segment 1", FG, position_mm(geometry, 1, 2, 3))
    )

    assert click.label == "segment 1"


def test_a_class_with_a_number_is_not_mistaken_for_the_class_without_it(geometry: hd.VolumeGeometry) -> None:
    spec = make_spec("rib left", "rib left 3")

    names = ("rib left 3", "rib left 3-2", "rib left-7")

    clicks = bind_points(geometry, spec, *(Click(name, FG, position_mm(geometry, 1, 2, 3)) for name in names))

    assert [click.label for click in clicks] == ["rib left 3", "rib left 3", "rib left"]


def test_a_generic_label_means_the_only_class_with_a_foreground_channel(geometry: hd.VolumeGeometry) -> None:
    channels = [{"takes": [["liver", "foreground"]]}, {"takes": [["liver", "background"], ["kidney", "background"]]}]
    classes = [phantoms.organ("kidney", 1), phantoms.organ("liver", 2)]
    guidance = phantoms.GUIDANCE | {"channels": channels}
    spec = ModelSpec.model_validate(phantoms.metadata(classes=classes, output_channels=3, guidance=guidance))

    (click,) = bind_points(geometry, spec, Click("F-1", FG, position_mm(geometry, 1, 2, 3)))

    assert click.label == "liver"


def test_a_polarity_without_guidance_channel_is_rejected(geometry: hd.VolumeGeometry) -> None:
    channels = [{"takes": [["hook", "foreground"]]}]
    spec = ModelSpec.model_validate(phantoms.metadata(guidance=phantoms.GUIDANCE | {"channels": channels}))

    with pytest.raises(ClickError, match="the model does not use background clicks of 'hook'"):
        bind_points(geometry, spec, Click("hook", BG, position_mm(geometry, 1, 2, 3)))


def test_clicks_for_a_model_without_guidance_are_rejected(geometry: hd.VolumeGeometry) -> None:
    spec = ModelSpec.model_validate(phantoms.metadata())

    with pytest.raises(ClickError, match=r"c\.json: 1 click, but the model does not use clicks"):
        bind_points(geometry, spec, Click("hook", FG, position_mm(geometry, 1, 2, 3)))
    assert bind_points(geometry, spec) == ()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("beyond", [-1, 1])
def test_a_click_up_to_half_a_voxel_beyond_the_last_centre_is_inside(
    geometry: hd.VolumeGeometry, axis: int, beyond: int
) -> None:
    end = 0 if beyond < 0 else geometry.spatial_shape[axis] - 1
    inside, outside = [2.0, 3.0, 4.0], [2.0, 3.0, 4.0]
    inside[axis], outside[axis] = end + 0.499 * beyond, end + 0.501 * beyond

    assert len(bind_points(geometry, make_spec("a"), Click("a", FG, position_mm(geometry, *inside)))) == 1
    with pytest.raises(ClickError, match=r"click 1: \(.*\) mm is outside the series, which extends from") as error_info:
        bind_points(geometry, make_spec("a"), Click("a", FG, position_mm(geometry, *outside)))
    assert "LPS" in (error_info.value.hint or "")


def test_clicks_of_another_frame_of_reference_are_rejected(geometry: hd.VolumeGeometry) -> None:
    with pytest.raises(ClickError, match=r"frame_of_reference_uid: expected None, got 9\.9"):
        bind_points(
            geometry, make_spec("a"), Click("a", FG, position_mm(geometry, 1, 2, 3)), frame_of_reference_uid="9.9"
        )


def test_clicks_of_another_series_are_rejected(geometry: hd.VolumeGeometry) -> None:
    with pytest.raises(ClickError, match=r"series_instance_uid: expected 1\.2\.4, got 9\.9"):
        bind_points(geometry, make_spec("a"), Click("a", FG, position_mm(geometry, 1, 2, 3)), series_instance_uid="9.9")
