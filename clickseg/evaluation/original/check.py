"""``clickseg models check``: compares the labels of a model with those of the original pipeline, run by MONAI."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clickseg.batch.plan import make_plan
from clickseg.batch.run import segment_cases
from clickseg.batch.settings import RunSettings
from clickseg.core.arrays import LabelArray
from clickseg.core.errors import ClickSegError, ModelError
from clickseg.core.progress import Progress
from clickseg.core.sitk import to_sitk
from clickseg.inference.case import CaseResult
from clickseg.models.package import ModelPackage

_MODULES = {True: "clickseg.evaluation.original.run_bundle", False: "clickseg.evaluation.original.run_described"}
"""The modules that run a model: a bundle by its own configuration, or any model by its description."""


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


def compare_with_original(bundle: Path | None, settings: RunSettings, progress: Progress) -> Iterator[Comparison]:
    """Yields the agreement for each series.

    Args:
        bundle: The bundle whose own configuration is run, which executes the expressions in it; None to run MONAI's
            transforms and sliding window as the package describes the model.
        settings: The settings of the run, with the loaded package as the model.
        progress: Called after each window.

    Raises:
        ModelError: The model cannot be compared, or the original pipeline fails.
        ClickSegError: A series cannot be segmented.
    """
    plan = make_plan(settings)
    if len(plan.package.spec.inputs) > 1 or plan.package.spec.activation == "sigmoid":
        raise ModelError(
            f"model {plan.package.name}: only models with one input and classes that exclude each other can be checked"
        )
    if bundle is None and not plan.package.spec.window.is_monai:
        raise ModelError(
            f"model {plan.package.name}: cannot be checked: MONAI has no windows with placement even or mode nnunet"
        )
    for outcome in segment_cases(plan, settings, progress):
        if isinstance(outcome.value, ClickSegError):
            raise outcome.value
        yield _compare(outcome.value, bundle)


def _compare(result: CaseResult, bundle: Path | None) -> Comparison:
    package = result.case.package
    original = _class_numbers(_run_original(result, bundle), package, by_channel=bundle is not None)
    labels = result.labels.array
    if original.shape != labels.shape:
        raise ModelError(
            f"model {package.name}: the original pipeline gives labels {list(original.shape)}, expected "
            f"{list(labels.shape)}"
        )
    dice = {}
    for number, class_spec in enumerate(package.spec.classes, 1):
        ours, theirs = labels == number, original == number
        if total := int(ours.sum()) + int(theirs.sum()):
            dice[class_spec.name] = float(2 * (ours & theirs).sum() / total)
    return Comparison(result.case.reference_series.files.series_uid, float((labels == original).mean()), dice)


def _class_numbers(original: LabelArray, package: ModelPackage, *, by_channel: bool) -> LabelArray:
    """Returns class numbers for the values of the original pipeline: numbers of logit channels, for a bundle."""
    if not by_channel:
        return original
    table = np.zeros(package.spec.output_channels + 1, original.dtype)
    for number, class_spec in enumerate(package.spec.classes, 1):
        table[class_spec.channel] = number
    numbers: LabelArray = table[np.minimum(original, package.spec.output_channels)]
    return numbers


def _run_original(result: CaseResult, bundle: Path | None) -> LabelArray:
    """Returns the labels of the original pipeline [K, J, I] on the grid of the reference series."""
    import SimpleITK

    volume = result.case.reference_series.volume.ensure_handedness("RIGHT_HANDED", flip_axis=0)
    is_flipped = not np.allclose(volume.affine, result.case.reference_series.volume.affine)
    with tempfile.TemporaryDirectory() as folder:
        image, labels = Path(folder, "image.nii.gz"), Path(folder, "labels.nii.gz")
        SimpleITK.WriteImage(to_sitk(volume), str(image))
        request = {
            "source": str((bundle or result.case.package.path).resolve()),
            "image": str(image),
            "labels": str(labels),
        }
        _run_module(_MODULES[bundle is not None], request, result.case.package.name)
        array: LabelArray = np.rint(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(labels)))).astype(np.int64)
    return array[::-1] if is_flipped else array


def _run_module(module: str, request: dict[str, str], name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", module, json.dumps(request)], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        raise ModelError(
            f"model {name}: the original pipeline failed: {lines[-1] if lines else f'exit code {ended.returncode}'}"
        )
