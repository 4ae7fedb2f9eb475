"""Compares the labels of a model with those of the original pipeline, run by MONAI."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from clickseg.batch.plan import make_plan
from clickseg.batch.run import segment_cases
from clickseg.batch.settings import RunSettings
from clickseg.core.arrays import LabelArray
from clickseg.core.errors import ClickSegError, ModelError
from clickseg.core.progress import Progress
from clickseg.evaluation.original.image_file import in_itk_order, write_image
from clickseg.inference.case import CaseResult
from clickseg.models.package import ModelPackage

_RUN_BUNDLE = "clickseg.evaluation.original.run_bundle"
_RUN_DESCRIBED = "clickseg.evaluation.original.run_described"


@dataclass(frozen=True, slots=True)
class SourceBundle:
    """A bundle whose own configuration is run, which executes the expressions in it.

    Attributes:
        path: Its folder.
        changes: Values by keys of the bundle.
    """

    path: Path
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The agreement of two label maps of one series.

    Attributes:
        series_uid: Series Instance UID.
        equal: The share of voxels with the same label.
        dice: The Dice coefficient of each class that one of the label maps contains, by name.
    """

    series_uid: str
    equal: float
    dice: dict[str, float]


def comparable_package(package: ModelPackage) -> tuple[ModelPackage, tuple[str, ...]]:
    """Returns a package without the rules of postprocessing that MONAI's transforms lack, and these rules."""
    first, *others = package.spec.inputs
    rules = package.spec.postprocessing
    has_minimum = any(value is not None for value in (rules.min_value, *(a.min_value for a in first.alternatives)))
    missing = {"min_value": has_minimum, "min_volume_ml": rules.min_volume_ml > 0}
    rules = rules.model_copy(update={"min_value": None, "min_volume_ml": 0.0})
    alternatives = tuple(image.model_copy(update={"min_value": None}) for image in first.alternatives)
    inputs = (first.model_copy(update={"alternatives": alternatives}), *others)
    spec = package.spec.model_copy(update={"inputs": inputs, "postprocessing": rules})
    return replace(package, spec=spec), tuple(name for name, is_missing in missing.items() if is_missing)


def compare_with_original(
    bundle: SourceBundle | None, settings: RunSettings, progress: Progress
) -> Iterator[Comparison]:
    """Yields the agreement for each series.

    Args:
        bundle: The bundle that is run; None to run MONAI's transforms and sliding window as the package describes the
            model, of the postprocessing only what ``comparable_package`` leaves.
        settings: The settings of the run, with the loaded package as the model.
        progress: Called after each window.

    Raises:
        ModelError: The model cannot be compared, or the original pipeline fails.
        ClickSegError: A series cannot be segmented.
    """
    plan = make_plan(settings)
    if len(plan.package.spec.inputs) > 1:
        raise ModelError(
            f"model {plan.package.name}: only models with one input can be checked, got {len(plan.package.spec.inputs)}"
        )
    if bundle is None and not plan.package.spec.window.is_monai:
        raise ModelError(
            f"model {plan.package.name}: cannot be checked: MONAI has no windows with placement even or mode nnunet"
        )
    for outcome in segment_cases(plan, settings, progress):
        if isinstance(outcome.value, ClickSegError):
            raise outcome.value
        yield _compare(outcome.value, bundle)


def _compare(result: CaseResult, bundle: SourceBundle | None) -> Comparison:
    spec, original = result.case.package.spec, _run_original(result, bundle)
    shape, has_masks = result.labels.array.shape[:3], spec.activation == "sigmoid"
    channels = spec.output_channels if has_masks else 1
    if original.shape != (channels, *shape):
        raise ModelError(
            f"model {result.case.package.name}: the original pipeline gives labels {list(original.shape)}, expected "
            f"{[channels, *shape]}"
        )
    dice, is_equal = {}, np.ones(shape, dtype=bool)
    for number, class_spec in enumerate(spec.classes, 1):
        ours = result.labels.mask(number)
        theirs = original[class_spec.channel] > 0 if has_masks else original[0] == class_spec.channel
        is_equal &= ours == theirs
        if total := int(ours.sum()) + int(theirs.sum()):
            dice[class_spec.name] = float(2 * (ours & theirs).sum() / total)
    return Comparison(result.case.reference_series.files.series_uid, float(is_equal.mean()), dice)


def _run_original(result: CaseResult, bundle: SourceBundle | None) -> LabelArray:
    """Returns the labels of the original pipeline [C, K, J, I] on the grid of the reference series.

    They are numbers of logit channels; with sigmoid, one mask for each logit channel.
    """
    import SimpleITK

    volume, is_flipped = in_itk_order(result.case.reference_series.volume)
    with tempfile.TemporaryDirectory() as folder:
        image, labels = Path(folder, "image.nii.gz"), Path(folder, "labels.nii.gz")
        write_image(volume, image)
        package, files = result.case.package, {"image": str(image), "labels": str(labels)}
        if bundle is not None:
            request = {
                "images": [str(image)],
                "labels": str(labels),
                "source": str(bundle.path.resolve()),
                "changes": dict(bundle.changes),
            }
            _run_module(_RUN_BUNDLE, request, package.name)
        else:
            modality = package.spec.inputs[0].modality
            request = {**files, "source": str(package.path.resolve()), "modality": modality}
            _run_module(_RUN_DESCRIBED, request, package.name)
        array: LabelArray = np.rint(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(labels)))).astype(np.int64)
    channels = array if array.ndim == 4 else array[np.newaxis]
    return channels[:, ::-1] if is_flipped else channels


def _run_module(module: str, request: dict[str, Any], name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", module, json.dumps(request)], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        raise ModelError(
            f"model {name}: the original pipeline failed: {lines[-1] if lines else f'exit code {ended.returncode}'}"
        )
