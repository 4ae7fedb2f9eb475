"""Translates the preprocessing of a bundle: MONAI's transforms to model grid, crop and scaling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.core.text import join_names
from clickseg.models.importers.monai_bundle.components import Component, read_component
from clickseg.models.importers.monai_bundle.geometry_transforms import read_axes, read_margin, read_spacing
from clickseg.models.importers.monai_bundle.intensity_transforms import INTENSITY_TRANSFORMS, Step, check_data_type
from clickseg.models.importers.monai_bundle.neutral_transforms import NEUTRAL_FOR_IMAGES
from clickseg.models.importers.sections import axes_notes
from clickseg.models.importers.source_model import ImportNote, ImportOptions, Outcome

NO_SCALING: Step = {"kind": "range", "a_min": 0, "a_max": 1, "clip": False}
"""The scaling of a model that sees the values of the images unchanged."""

_ACT_ON_THEIR_KEYS = frozenset({"AsDiscreted", "LabelToMaskd", "MapLabelValued", "RemoveSmallObjectsd", "SpatialPadd"})
"""Transforms without a field that change only the items under their keys, so that those of labels are ignored."""

_LOAD_ARGUMENTS = (
    *("keys", "reader", "dtype", "meta_keys", "meta_key_postfix", "overwriting", "image_only", "ensure_channel_first"),
    *("simple_keys", "prune_meta_pattern", "prune_meta_sep", "allow_missing_keys", "expanduser"),
)
_ARE_UNKNOWN = "are not supported, because they may change the image"
_ONE_IMAGE = "models with several images are not yet supported"


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What the transforms so far amount to.

    Attributes:
        image: The key of the image that reaches the network.
        is_loaded: Whether the image was loaded.
        orientation: The axes of the model grid; None if no transform turned the image.
        spacing_mm: The spacing of the model grid; None if no transform resampled the image.
        spacing_tolerance: The factors of the spacing within which an axis keeps its own.
        steps: The steps of the scaling.
        scale_before_resampling: Whether the steps came before the image was resampled.
        crop: The crop to the foreground.
        notes: What was done with each transform.
    """

    image: str
    is_loaded: bool = False
    orientation: str | None = None
    spacing_mm: tuple[float | str, ...] | None = None
    spacing_tolerance: tuple[float, float] | None = None
    steps: tuple[Step, ...] = ()
    scale_before_resampling: bool = False
    crop: Mapping[str, Any] | None = None
    notes: tuple[ImportNote, ...] = ()

    def noted(self, transform: Component, outcome: Outcome, text: str) -> Preprocessing:
        """Returns the same with a note about a transform."""
        return replace(self, notes=(*self.notes, ImportNote(transform.key, outcome, f"{transform.name}: {text}")))


def translate_preprocessing(transforms: Sequence[Component], image: str) -> Preprocessing:
    """Returns what the transforms of a bundle amount to.

    Args:
        transforms: The transforms, in order.
        image: The key of the image that reaches the network.

    Raises:
        ModelError: A transform or one of its arguments cannot be expressed, or no transform loads the image; the
            message names it.
    """
    done = Preprocessing(image)
    for transform in transforms:
        done = _apply(transform, done)
    if not done.is_loaded:
        raise ModelError(f"preprocessing: expected LoadImaged of {image!r:.80}, the image that reaches the network")
    return done


def grid_section(done: Preprocessing, options: ImportOptions) -> tuple[dict[str, Any], tuple[ImportNote, ...]]:
    """Returns the field ``grid``, and a note if the orientation is assumed."""
    grid: dict[str, Any] = {"spacing_mm": list(done.spacing_mm or ["source"] * 3)}
    if done.spacing_tolerance is not None:
        grid["spacing_tolerance"] = list(done.spacing_tolerance)
    if done.orientation is not None:
        return grid | {"orientation": done.orientation}, ()
    return grid | {"orientation": options.stored_axes or "source"}, axes_notes("the bundle", options)


def scaling_fields(done: Preprocessing) -> dict[str, Any]:
    """Returns ``scaling`` of the input, and ``scale_before_resampling`` if it is true."""
    steps = list(done.steps) or [NO_SCALING]
    before = {"scale_before_resampling": True} if done.scale_before_resampling else {}
    return {"scaling": steps[0] if len(steps) == 1 else steps, **before}


def crop_section(done: Preprocessing) -> dict[str, Any] | None:
    """Returns the field ``crop``; without resampling, the model grid has the voxels of the source grid."""
    if done.crop is None:
        return None
    return {**done.crop, **({"grid": "model"} if done.spacing_mm is None else {})}


def _apply(transform: Component, done: Preprocessing) -> Preprocessing:
    keys = _read_keys(transform)
    if done.image not in keys:
        return _ignore_others(transform, done)
    if transform.name == "LoadImaged":
        return _load(transform, done)
    if not done.is_loaded:
        raise transform.error(f"expected LoadImaged of {done.image!r:.80} before it")
    if transform.name in NEUTRAL_FOR_IMAGES:
        return _note_reading(transform, done)
    if transform.name in INTENSITY_TRANSFORMS:
        return _add_step(transform, INTENSITY_TRANSFORMS[transform.name](transform), done)
    translate = _GEOMETRY_TRANSFORMS.get(transform.name)
    if translate is None:
        known = join_names(sorted((*_GEOMETRY_TRANSFORMS, *INTENSITY_TRANSFORMS)), 20)
        raise transform.error("this transform is not yet supported", hint=f"supported are {known}")
    return translate(transform, done)


def _read_keys(transform: Component) -> tuple[str, ...]:
    """Returns the keys of the items that a transform of MONAI changes."""
    if not transform.is_of_monai:
        raise transform.error("a transform of the bundle's own code, which is not executed")
    keys = transform.texts("keys")
    if not keys:
        raise transform.error(f"expected keys, the names of images: transforms without them {_ARE_UNKNOWN}")
    if transform.name == "LoadImaged" and len(keys) > 1:
        raise transform.error(f"loads the images {join_names(keys)}: {_ONE_IMAGE}")
    return keys


def _ignore_others(transform: Component, done: Preprocessing) -> Preprocessing:
    """Ignores a transform of other items, such as labels, if it cannot change the image."""
    text = f"does not change the image {done.image}"
    if transform.name == "LoadImaged":
        transform.check_arguments(_LOAD_ARGUMENTS)
    elif transform.name == "DeleteItemsd":
        transform.check_arguments(("keys", "sep", "use_re"))
        transform.expect("use_re", False)  # an expression could match the image
    elif transform.name == "SelectItemsd":
        raise transform.error(f"keys: expected also {done.image!r:.80}, the image that reaches the network")
    elif transform.name not in (
        _ACT_ON_THEIR_KEYS | {*NEUTRAL_FOR_IMAGES, *INTENSITY_TRANSFORMS, *_GEOMETRY_TRANSFORMS}
    ):
        raise transform.error(
            f"transforms of this class with the keys {join_names(transform.texts('keys'))} {_ARE_UNKNOWN}"
        )
    return done.noted(transform, Outcome.IGNORED, text)


def _load(transform: Component, done: Preprocessing) -> Preprocessing:
    if done.is_loaded:
        raise transform.error("expected it once")
    transform.check_arguments(_LOAD_ARGUMENTS)
    check_data_type(transform)
    _check_reader(transform)
    return replace(done, is_loaded=True).noted(transform, Outcome.IGNORED, NEUTRAL_FOR_IMAGES[transform.name])


def _check_reader(transform: Component) -> None:
    """Rejects readers with arguments: they could turn or rescale the image."""
    value = transform.value("reader", None)
    for reader in value if isinstance(value, list) else [value]:
        if isinstance(reader, dict):
            read_component(reader, f"{transform.key}#reader").check_arguments(())
        elif reader is not None and not isinstance(reader, str):
            raise transform.error(f"reader: expected the name of a reader, got {reader!r:.80}")


def _note_reading(transform: Component, done: Preprocessing) -> Preprocessing:
    if transform.name == "DeleteItemsd":
        raise transform.error(f"deletes {done.image!r:.80}, the image that reaches the network")
    if transform.name in ("CastToTyped", "EnsureTyped"):
        check_data_type(transform)
    return done.noted(transform, Outcome.IGNORED, NEUTRAL_FOR_IMAGES[transform.name])


def _add_step(transform: Component, step: Step, done: Preprocessing) -> Preprocessing:
    if done.scale_before_resampling:
        raise transform.error("expected all scalings before Spacingd, or all after it")
    if done.crop is not None and done.crop["values"] == "scaled":
        raise transform.error("expected all scalings before CropForegroundd, or all after it")
    return replace(done, steps=(*done.steps, step)).noted(
        transform, Outcome.TRANSLATED, f"inputs.scaling: {step['kind']}"
    )


def _turn(transform: Component, done: Preprocessing) -> Preprocessing:
    if done.spacing_mm is not None or done.orientation is not None:
        raise transform.error("expected it once, before Spacingd: the first voxel of the model grid depends on it")
    return replace(done, orientation=read_axes(transform)).noted(transform, Outcome.TRANSLATED, "grid.orientation")


def _resample(transform: Component, done: Preprocessing) -> Preprocessing:
    if done.spacing_mm is not None:
        raise transform.error("expected it once")
    spacing, tolerance = read_spacing(transform)
    done = replace(done, spacing_mm=spacing, spacing_tolerance=tolerance, scale_before_resampling=bool(done.steps))
    return done.noted(transform, Outcome.TRANSLATED, "grid.spacing_mm")


def _crop(transform: Component, done: Preprocessing) -> Preprocessing:
    if done.crop is not None:
        raise transform.error("expected it once")
    if transform.value("source_key", done.image) != done.image:
        raise transform.error(f"source_key: expected {done.image!r}: {_ONE_IMAGE}")
    margin = read_margin(transform)
    crop: dict[str, Any] = {
        "voxels": "positive",
        "values": "scaled" if done.steps else "source",
        "grid": "source" if done.spacing_mm is None else "model",
        **({"margin_vox": margin} if margin else {}),
    }
    return replace(done, crop=crop).noted(transform, Outcome.TRANSLATED, "crop")


_GEOMETRY_TRANSFORMS: Mapping[str, Callable[[Component, Preprocessing], Preprocessing]] = {
    "CropForegroundd": _crop,
    "Orientationd": _turn,
    "Spacingd": _resample,
}


def check_image_count(names: Sequence[str], where: str) -> None:
    """Checks that a model has one image channel.

    Raises:
        ModelError: It has several.
    """
    if len(names) != 1:
        raise ModelError(f"{where}: expected one image channel, got {len(names)} ({join_names(names)}): {_ONE_IMAGE}")
