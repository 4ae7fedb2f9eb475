"""Translates the postprocessing of a bundle: when classes are decided, what is interpolated, which parts are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from clickseg.core.errors import ModelError
from clickseg.models.importers.monai_bundle.components import Component
from clickseg.models.importers.monai_bundle.intensity_transforms import check_data_type
from clickseg.models.importers.monai_bundle.known_programs import CHANNEL_MERGE
from clickseg.models.importers.monai_bundle.label_merges import FIRST_CHANNEL_WINS, LabelMerge
from clickseg.models.importers.monai_bundle.neutral_transforms import NEUTRAL_FOR_RESULTS
from clickseg.models.importers.source_model import ImportNote, Outcome

Interpolation = Literal["logits", "probabilities", "labels"]

_INVERT_ARGUMENTS = (
    *("keys", "transform", "orig_keys", "meta_keys", "orig_meta_keys", "meta_key_postfix", "nearest_interp"),
    *("to_tensor", "device", "post_func", "allow_missing_keys"),
)
_KEEP_ARGUMENTS = (
    *("keys", "applied_labels", "is_onehot", "independent", "connectivity", "num_components", "allow_missing_keys"),
)
_LABELS_WERE_INTERPOLATED = (
    "interpolation labels, nearest: the bundle interpolates label numbers linearly, so that a voxel between the "
    "classes 0 and 2 becomes class 1; ClickSeg does not copy this"
)
_NOT_INVERTED = "interpolation labels: without Invertd the result stays on the model grid; ClickSeg takes the nearest"


@dataclass(frozen=True, slots=True)
class Postprocessing:
    """What the transforms so far amount to.

    Attributes:
        activation: The activation that was applied.
        decided: How classes were decided: ``argmax`` or ``threshold``; empty before.
        inverted: How the result was brought to the source grid: ``linear`` or ``nearest``; empty before.
        interpolation: What was on the model grid when it was inverted.
        is_resampled: Whether the model grid has another spacing than the source grid.
        references: The images to whose grid the result may be brought; empty for any.
        merge: Which class counts where several are above the threshold.
        keep: Which components are kept: the fields of ``postprocessing``, with ``labels`` in place of ``keep_classes``.
        notes: What was done with each transform.
    """

    activation: Literal["softmax", "sigmoid", ""] = ""
    decided: Literal["argmax", "threshold", ""] = ""
    inverted: Literal["linear", "nearest", ""] = ""
    interpolation: Interpolation = "labels"
    is_resampled: bool = True
    references: tuple[str, ...] = ()
    merge: LabelMerge | None = None
    keep: Mapping[str, Any] | None = None
    notes: tuple[ImportNote, ...] = ()

    def noted(self, transform: Component, outcome: Outcome, text: str) -> Postprocessing:
        """Returns the same with a note about a transform."""
        return replace(self, notes=(*self.notes, ImportNote(transform.key, outcome, f"{transform.name}: {text}")))


def translate_postprocessing(
    transforms: Sequence[Component], key: str, *, is_resampled: bool, references: tuple[str, ...] = ()
) -> Postprocessing:
    """Returns what the transforms of a bundle amount to.

    Args:
        transforms: The transforms, in order.
        key: Their key, for messages.
        is_resampled: Whether the preprocessing resamples images, so that results are interpolated.
        references: The images to whose grid the result may be brought; empty for any.

    Raises:
        ModelError: A transform or one of its arguments cannot be expressed, or no transform decides the classes.
    """
    done = Postprocessing(is_resampled=is_resampled, references=references)
    for transform in transforms:
        done = _apply(transform, done)
    if not done.decided:
        raise ModelError(f"{key}: expected AsDiscreted with argmax or threshold: nothing decides the classes")
    if is_resampled and not done.inverted:
        return replace(done, notes=(*done.notes, ImportNote(key, Outcome.TRANSLATED, _NOT_INVERTED)))
    return done


def postprocessing_section(done: Postprocessing, names: Mapping[int, str]) -> dict[str, Any]:
    """Returns the field ``postprocessing``; empty if all components are kept.

    Args:
        done: The translated transforms.
        names: The names of the classes by channel.

    Raises:
        ModelError: A label has no class.
    """
    if done.keep is None:
        return {}
    section = {name: value for name, value in done.keep.items() if name not in ("labels", "key")}
    labels = done.keep["labels"]
    unknown = [label for label in labels if label not in names]
    if unknown:
        raise ModelError(f"{done.keep['key']}: applied_labels: expected labels of classes, got {unknown[0]}")
    if labels and set(labels) != set(names):
        section["keep_classes"] = [names[label] for label in labels]
    return section


def _apply(transform: Component, done: Postprocessing) -> Postprocessing:
    if not transform.is_of_monai:
        raise transform.error("a transform of the bundle's own code, which is not executed")
    keys = transform.texts("keys")
    if not keys:
        raise transform.error("expected keys, the names of results: transforms without them are not supported")
    if "pred" not in keys:
        if transform.name not in (*NEUTRAL_FOR_RESULTS, *_TRANSFORMS):
            raise transform.error("transforms of this class are only supported with the key pred")
        return done.noted(transform, Outcome.IGNORED, "does not change the result")
    if transform.name in NEUTRAL_FOR_RESULTS:
        if transform.name in ("CastToTyped", "EnsureTyped") and not done.decided:
            check_data_type(transform)
        return done.noted(transform, Outcome.IGNORED, NEUTRAL_FOR_RESULTS[transform.name])
    translate = _TRANSFORMS.get(transform.name)
    if translate is None:
        raise transform.error("this transform is not yet supported", hint=f"supported are {', '.join(_TRANSFORMS)}")
    return translate(transform, done)


def _activate(transform: Component, done: Postprocessing) -> Postprocessing:
    transform.check_arguments(("keys", "sigmoid", "softmax", "other", "allow_missing_keys"))
    transform.expect("other", None)
    sigmoid, softmax = transform.flag("sigmoid", default=False), transform.flag("softmax", default=False)
    if sigmoid == softmax or done.activation or done.decided:
        raise transform.error("expected either softmax or sigmoid, once, before the classes are decided")
    return replace(done, activation="softmax" if softmax else "sigmoid").noted(
        transform, Outcome.TRANSLATED, "activation"
    )


def _decide(transform: Component, done: Postprocessing) -> Postprocessing:
    transform.check_arguments(("keys", "argmax", "to_onehot", "threshold", "rounding", "allow_missing_keys"))
    transform.expect("to_onehot", None)
    transform.expect("rounding", None)
    argmax, threshold = transform.flag("argmax", default=False), transform.optional_number("threshold")
    if done.decided or argmax == (threshold is not None):
        raise transform.error("expected either argmax or threshold, once")
    if argmax:
        if done.activation == "sigmoid" and done.interpolation == "probabilities" and done.is_resampled:
            raise transform.error(
                "argmax of interpolated sigmoids is not supported: expected threshold 0.5, or softmax"
            )
        return replace(done, decided="argmax").noted(transform, Outcome.TRANSLATED, "activation: softmax")
    if done.activation != "sigmoid" or threshold != 0.5:
        raise transform.error(f"threshold: expected 0.5 after sigmoid, got {threshold}")
    return replace(done, decided="threshold").noted(transform, Outcome.TRANSLATED, "activation: sigmoid")


def _invert(transform: Component, done: Postprocessing) -> Postprocessing:
    transform.check_arguments(_INVERT_ARGUMENTS)
    transform.expect("post_func", None)
    if done.inverted:
        raise transform.error("expected it once")
    references = transform.texts("orig_keys")
    if done.references and references and not set(references) <= {*done.references}:
        raise transform.error(f"orig_keys: expected {done.references[-1]!r:.80}, the first image, got {references}")
    is_nearest = transform.flag("nearest_interp", default=True)
    interpolation: Interpolation = "probabilities" if done.activation else "logits"
    if is_nearest or done.decided:  # the class of the nearest voxel is the same before and after the decision
        interpolation = "labels"
    done = replace(done, inverted="nearest" if is_nearest else "linear", interpolation=interpolation)
    if done.decided and not is_nearest and done.is_resampled:
        return done.noted(transform, Outcome.DIFFERENT, _LABELS_WERE_INTERPOLATED)
    return done.noted(transform, Outcome.TRANSLATED, f"interpolation: {interpolation}")


def _keep_largest(transform: Component, done: Postprocessing) -> Postprocessing:
    transform.check_arguments(_KEEP_ARGUMENTS)
    transform.expect("is_onehot", None, False)
    transform.expect("connectivity", None, 1, 3)
    labels = transform.value("applied_labels", None)
    labels = [labels] if isinstance(labels, int) else labels or []
    if done.keep is not None or done.decided != "argmax":
        raise transform.error("expected it once, after AsDiscreted with argmax")
    if not isinstance(labels, list) or not all(isinstance(label, int) and 0 < label < 1024 for label in labels):
        raise transform.error("applied_labels: expected the numbers of labels")
    if not transform.flag("independent", default=True) and len(labels) != 1:
        raise transform.error("independent: expected true: components of several labels together are not supported")
    keep: dict[str, Any] = {"key": transform.key, "labels": list(dict.fromkeys(labels)), "keep": "largest"}
    count = transform.number("num_components", 1)
    keep |= {"keep_count": int(count)} if count > 1 else {}
    keep |= {} if transform.value("connectivity", None) == 1 else {"connectivity": "full"}
    keep |= {} if done.inverted else {"grid": "model"}
    return replace(done, keep=keep).noted(transform, Outcome.TRANSLATED, "postprocessing.keep")


def _merge_by_function(transform: Component, done: Postprocessing) -> Postprocessing:
    transform.check_arguments(("keys", "func", "inv_func", "track_meta", "overwrite", "allow_missing_keys"))
    transform.expect("overwrite", True)
    merge = transform.value("func", None)
    if not isinstance(merge, LabelMerge):
        raise transform.error("func: expected a function that merges masks with torch.where")
    return _merge(transform, done, merge)


def _merge_channels(transform: Component, done: Postprocessing) -> Postprocessing:
    transform.check_arguments(("keys", "allow_missing_keys"))
    return _merge(transform, done, FIRST_CHANNEL_WINS)


def _merge(transform: Component, done: Postprocessing, merge: LabelMerge) -> Postprocessing:
    if done.decided != "threshold" or done.merge is not None:
        raise transform.error("expected it once, after AsDiscreted with threshold")
    pairs = ", ".join(
        f"{value} of channel {channel}" for channel, value in zip(merge.channels or (), merge.values, strict=False)
    )
    text = "overwrite: the classes in the reverse order" + (f"; the labels {pairs} get other numbers" if pairs else "")
    return replace(done, merge=merge).noted(transform, Outcome.TRANSLATED, text)


_TRANSFORMS: Mapping[str, Callable[[Component, Postprocessing], Postprocessing]] = {
    "Activationsd": _activate,
    "AsDiscreted": _decide,
    "Invertd": _invert,
    "KeepLargestConnectedComponentd": _keep_largest,
    "Lambdad": _merge_by_function,
    CHANNEL_MERGE: _merge_channels,
}
