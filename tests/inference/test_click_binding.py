"""A click belongs to a class and lies in the series, or it is refused; none is clamped or skipped."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pytest

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.core.errors import ClickError
from clickseg.inference.click_binding import bind
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms

FG, BG = Polarity.FOREGROUND, Polarity.BACKGROUND


@pytest.fixture
def geometry() -> hd.VolumeGeometry:
    return phantoms.oblique_geometry()


def model(*names: str, aliases: tuple[str, ...] = ()) -> ModelSpec:
    classes = [phantoms.organ(name, channel, aliases=aliases * (channel == 1)) for channel, name in enumerate(names, 1)]
    takes = [[name, polarity] for name in names for polarity in ("foreground", "background")]
    guidance = {"kind": "ball", "radius_vox": 2, "channels": [{"takes": takes}]}
    return ModelSpec.model_validate(
        phantoms.metadata(classes=classes, output_channels=len(names) + 1, guidance=guidance)
    )


def at(geometry: hd.VolumeGeometry, *index: float) -> tuple[float, float, float]:
    x, y, z = geometry.map_indices_to_reference(np.array([index]))[0]
    return float(x), float(y), float(z)


def bound(geometry: hd.VolumeGeometry, spec: ModelSpec, *clicks: Click, **source: str) -> tuple[Click, ...]:
    return bind(Clicks(clicks, source="c.json", **source), spec, geometry, "1.2.4").points


@pytest.mark.parametrize(
    "label", ["lesion", "LESION", " Lesion ", "tumour", "Tumor", "lesion-3", "", "F", "F-1", "foreground", "Click_12"]
)
def test_labels_aliases_and_generic_names_go_to_the_only_class(geometry: hd.VolumeGeometry, label: str) -> None:
    spec = model("lesion", aliases=("tumor", "tumour"))

    (click,) = bound(geometry, spec, Click(label, FG, at(geometry, 1, 2, 3)))

    assert click == Click("lesion", FG, at(geometry, 1, 2, 3))


def test_an_unknown_label_is_an_error_that_lists_the_known_ones(geometry: hd.VolumeGeometry) -> None:
    with pytest.raises(ClickError, match=r"c\.json: click 2: unknown label 'spleen': expected one of liver, kidney"):
        bound(geometry, model("liver", "kidney"), *(Click(n, FG, at(geometry, 1, 2, 3)) for n in ("liver", "spleen")))


def test_a_click_without_label_is_an_error_where_there_are_several_classes(geometry: hd.VolumeGeometry) -> None:
    with pytest.raises(ClickError, match=r"no label, and the model has several: expected one of liver, kidney"):
        bound(geometry, model("liver", "kidney"), Click("F", FG, at(geometry, 1, 2, 3)))


def test_a_class_that_ends_in_a_number_is_told_from_a_numbered_click(geometry: hd.VolumeGeometry) -> None:
    (click,) = bound(geometry, model("segment 1", "segment"), Click("segment 1", FG, at(geometry, 1, 2, 3)))

    assert click.label == "segment 1"


def test_a_class_with_a_number_is_not_taken_for_one_without(geometry: hd.VolumeGeometry) -> None:
    spec = model("rib left", "rib left 3")

    names = ("rib left 3", "rib left 3-2", "rib left-7")

    clicks = bound(geometry, spec, *(Click(name, FG, at(geometry, 1, 2, 3)) for name in names))

    assert [click.label for click in clicks] == ["rib left 3", "rib left 3", "rib left"]


def test_a_generic_label_goes_to_the_only_class_that_has_a_foreground_channel(geometry: hd.VolumeGeometry) -> None:
    channels = [{"takes": [["liver", "foreground"]]}, {"takes": [["liver", "background"], ["kidney", "background"]]}]
    classes = [phantoms.organ("kidney", 1), phantoms.organ("liver", 2)]
    guidance = phantoms.GUIDANCE | {"channels": channels}
    spec = ModelSpec.model_validate(phantoms.metadata(classes=classes, output_channels=3, guidance=guidance))

    (click,) = bound(geometry, spec, Click("F-1", FG, at(geometry, 1, 2, 3)))

    assert click.label == "liver"


def test_a_polarity_that_no_channel_takes_is_an_error(geometry: hd.VolumeGeometry) -> None:
    channels = [{"takes": [["hook", "foreground"]]}]
    spec = ModelSpec.model_validate(phantoms.metadata(guidance=phantoms.GUIDANCE | {"channels": channels}))

    with pytest.raises(ClickError, match="the model takes no background clicks of 'hook'"):
        bound(geometry, spec, Click("hook", BG, at(geometry, 1, 2, 3)))


def test_clicks_for_a_model_that_takes_none_are_an_error(geometry: hd.VolumeGeometry) -> None:
    spec = ModelSpec.model_validate(phantoms.metadata())

    with pytest.raises(ClickError, match=r"c\.json: 1 click, but the model takes none"):
        bound(geometry, spec, Click("hook", FG, at(geometry, 1, 2, 3)))
    assert bound(geometry, spec) == ()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("beyond", [-1, 1])
def test_a_click_up_to_half_a_voxel_beyond_the_last_centre_is_inside(
    geometry: hd.VolumeGeometry, axis: int, beyond: int
) -> None:
    end = 0 if beyond < 0 else geometry.spatial_shape[axis] - 1
    inside, outside = [2.0, 3.0, 4.0], [2.0, 3.0, 4.0]
    inside[axis], outside[axis] = end + 0.499 * beyond, end + 0.501 * beyond

    assert len(bound(geometry, model("a"), Click("a", FG, at(geometry, *inside)))) == 1
    with pytest.raises(ClickError, match=r"click 1: \(.*\) mm lies outside the series, which reaches from") as caught:
        bound(geometry, model("a"), Click("a", FG, at(geometry, *outside)))
    assert "LPS" in (caught.value.hint or "")


def test_another_frame_of_reference_is_an_error(geometry: hd.VolumeGeometry) -> None:
    with pytest.raises(ClickError, match=r"frame_of_reference_uid: expected None, got 9\.9"):
        bound(geometry, model("a"), Click("a", FG, at(geometry, 1, 2, 3)), frame_of_reference_uid="9.9")


def test_another_series_is_an_error(geometry: hd.VolumeGeometry) -> None:
    with pytest.raises(ClickError, match=r"series_instance_uid: expected 1\.2\.4, got 9\.9"):
        bound(geometry, model("a"), Click("a", FG, at(geometry, 1, 2, 3)), series_instance_uid="9.9")
