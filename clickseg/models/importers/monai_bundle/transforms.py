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
_OF_ALL_VALUES = ("percentile", "zscore")
"""The kinds of scaling that depend on all values of an image."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What the transforms so far amount to.

    Attributes:
        image: The key of the image that reaches the network.
        parts: The images that become its channels; empty if it is loaded as one image.
        channels: The number of its channels.
        is_joined: Whether the parts were joined.
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
    parts: tuple[str, ...] = ()
    channels: int = 1
    is_joined: bool = False
    is_loaded: bool = False
    orientation: str | None = None
    spacing_mm: tuple[float | str, ...] | None = None
    spacing_tolerance: tuple[float, float] | None = None
    steps: tuple[Step, ...] = ()
    scale_before_resampling: bool = False
    crop: Mapping[str, Any] | None = None
    notes: tuple[ImportNote, ...] = ()

    @property
    def current(self) -> tuple[str, ...]:
        """The keys of the images that reach the network, at this point: the parts, or the image."""
        return self.parts if self.parts and not self.is_joined else (self.image,)

    def noted(self, transform: Component, outcome: Outcome, text: str) -> Preprocessing:
        """Returns the same with a note about a transform."""
        return replace(self, notes=(*self.notes, ImportNote(transform.key, outcome, f"{transform.name}: {text}")))


def translate_preprocessing(transforms: Sequence[Component], image: str, channels: int = 1) -> Preprocessing:
    """Returns what the transforms of a bundle amount to.

    Args:
        transforms: The transforms, in order.
        image: The key of the image that reaches the network.
        channels: The number of its channels.

    Raises:
        ModelError: A transform or one of its arguments cannot be expressed, or no transform loads the image; the
            message names it.
    """
    done = Preprocessing(image, _find_parts(transforms, image, channels), channels)
    for transform in transforms:
        done = _apply(transform, done)
    if not done.is_loaded or (done.parts and not done.is_joined):
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
    if transform.name == "ConcatItemsd":
        return _join(transform, done)
    found = {*done.current} & {*keys}
    if not found:
        return _ignore_others(transform, done)
    if len(found) < len(done.current):
        raise transform.error(f"keys: expected all of the images {join_names(done.current)}, or none")
    return _apply_to_images(transform, done)


def _apply_to_images(transform: Component, done: Preprocessing) -> Preprocessing:
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
    return keys


def _find_parts(transforms: Sequence[Component], image: str, channels: int) -> tuple[str, ...]:
    """Returns the images that are joined to the image that reaches the network."""
    for transform in transforms:
        if transform.name == "ConcatItemsd" and transform.is_of_monai and transform.value("name", None) == image:
            parts = transform.texts("keys")
            if len(parts) != channels or len(set(parts)) != channels:
                raise transform.error(
                    f"keys: expected {channels} images, the channels of the network, got {len(parts)}"
                )
            return parts
    return ()


def _join(transform: Component, done: Preprocessing) -> Preprocessing:
    transform.check_arguments(("keys", "name", "dim", "allow_missing_keys"))
    transform.expect("dim", 0)
    if transform.value("name", None) != done.image:
        if transform.value("name", None) in done.parts:
            raise transform.error("replaces an image: expected an image that is loaded")
        return done.noted(transform, Outcome.IGNORED, f"does not change the image {done.image}")
    if done.is_joined or not done.is_loaded:
        raise transform.error("expected it once, after LoadImaged")
    return replace(done, is_joined=True).noted(transform, Outcome.TRANSLATED, "inputs")


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
    has_channels = done.channels > 1 and len(done.current) == 1
    if has_channels and step["kind"] in _OF_ALL_VALUES and not transform.flag("channel_wise", default=False):
        raise transform.error("expected channel_wise true: each image has its own scaling")
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
    source = transform.value("source_key", None)
    if source not in (done.image, *done.parts[:1]):
        raise transform.error(f"source_key: expected {done.image!r:.80}, the image that reaches the network")
    if done.parts and source == done.image and not done.is_joined:
        raise transform.error(f"source_key: {done.image!r:.80} does not exist yet")
    margin = read_margin(transform)
    is_any = done.channels > 1 and source == done.image and transform.value("channel_indices", None) is None
    crop: dict[str, Any] = {
        "voxels": "positive",
        "values": "scaled" if done.steps else "source",
        "grid": "source" if done.spacing_mm is None else "model",
        **({"margin_vox": margin} if margin else {}),
        **({"inputs": "any"} if is_any else {}),
    }
    return replace(done, crop=crop).noted(transform, Outcome.TRANSLATED, "crop")


_GEOMETRY_TRANSFORMS: Mapping[str, Callable[[Component, Preprocessing], Preprocessing]] = {
    "CropForegroundd": _crop,
    "Orientationd": _turn,
    "Spacingd": _resample,
}
