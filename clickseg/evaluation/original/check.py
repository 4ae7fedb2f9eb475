"""Compares the labels of a model with those of the original pipeline, run by MONAI or nnU-Net."""

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
from clickseg.inference.case import Case, CaseResult
from clickseg.models.importers.nnunet.choices import Choice
from clickseg.models.importers.nnunet.image_grid import DEFAULT_AXES
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import ModelPackage
from clickseg.models.spec import ModelSpec

_RUN_BUNDLE = "clickseg.evaluation.original.run_bundle"
_RUN_DESCRIBED = "clickseg.evaluation.original.run_described"
_RUN_NNUNET = "clickseg.evaluation.original.run_nnunet"

_GRID_TOLERANCE = 1e-3
"""The largest difference between positions of two grids, in mm."""


@dataclass(frozen=True, slots=True)
class OriginalPipeline:
    """A pipeline that is run in a process of its own, which executes what the model contains.

    Attributes:
        module: The module that runs it.
        request: What the module is given, besides the files of images and labels.
        takes_several: Whether it takes models with several inputs.
    """

    module: str
    request: Mapping[str, Any]
    takes_several: bool = False


def bundle_pipeline(path: Path, changes: Mapping[str, Any]) -> OriginalPipeline:
    """Returns the configuration of a bundle, after changes of its keys, run by MONAI."""
    return OriginalPipeline(_RUN_BUNDLE, {"source": str(path.resolve()), "changes": dict(changes)})


def nnunet_pipeline(choice: Choice, options: ImportOptions, *, uses_mirroring: bool) -> OriginalPipeline:
    """Returns a model of nnU-Net, run by its own predictor.

    Args:
        choice: The model, and its folds.
        options: With the axes in which images are stored, if the user states them.
        uses_mirroring: Whether the predictor may mirror windows.
    """
    request = {
        "source": str(choice.files.path.resolve()),
        "folder": choice.files.folder,
        "folds": list(choice.folds),
        "checkpoint": choice.checkpoint,
        "axes": options.stored_axes or DEFAULT_AXES,
        "mirroring": uses_mirroring,
    }
    return OriginalPipeline(_RUN_NNUNET, request, takes_several=True)


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


def fields_without_monai(spec: ModelSpec) -> list[str]:
    """Returns the fields of a model with values for which MONAI has no transform and no inferer."""
    is_used = {
        "window.placement even": spec.window.placement == "even",
        "window.mode nnunet": spec.window.mode == "nnunet",
        f"grid.alignment {spec.grid.alignment}": spec.grid.alignment != "first_voxel",
        "zscore.foreground": spec.depends_on_foreground,
        "heads": bool(spec.heads),
        "inputs.further_scalings": any(entry.further_scalings for entry in spec.inputs),
    }
    return [name for name, used in is_used.items() if used]


def compare_with_original(
    original: OriginalPipeline | None, settings: RunSettings, progress: Progress
) -> Iterator[Comparison]:
    """Yields the agreement for each series.

    Args:
        original: The pipeline that is run; None to run MONAI's transforms and sliding window as the package describes
            the model, of the postprocessing only what ``comparable_package`` leaves.
        settings: The settings of the run, with the loaded package as the model.
        progress: Called after each window.

    Raises:
        ModelError: The model cannot be compared, or the original pipeline fails.
        ClickSegError: A series cannot be segmented.
    """
    plan = make_plan(settings)
    if len(plan.package.spec.inputs) > 1 and not (original and original.takes_several):
        raise ModelError(
            f"model {plan.package.name}: only models with one input can be checked, got {len(plan.package.spec.inputs)}"
        )
    if original is None and (fields := fields_without_monai(plan.package.spec)):
        raise ModelError(
            f"model {plan.package.name}: cannot be checked: MONAI has no {', '.join(fields)}",
            hint="models of TotalSegmentator cannot be compared with TotalSegmentator yet"
            if plan.package.spec.grid.alignment == "end_voxels"
            else "name the model of nnU-Net from which it was translated with --source",
        )
    for outcome in segment_cases(plan, settings, progress):
        if isinstance(outcome.value, ClickSegError):
            raise outcome.value
        yield _compare(outcome.value, original)


def _compare(result: CaseResult, pipeline: OriginalPipeline | None) -> Comparison:
    spec, original = result.case.package.spec, _run_original(result, pipeline)
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


def _run_original(result: CaseResult, pipeline: OriginalPipeline | None) -> LabelArray:
    """Returns the labels of the original pipeline [C, K, J, I] on the grid of the reference series.

    They are numbers of logit channels; with sigmoid, one mask for each logit channel.
    """
    import SimpleITK

    package = result.case.package
    with tempfile.TemporaryDirectory() as folder:
        images, is_flipped = _write_images(result.case, Path(folder))
        labels = Path(folder, "labels.nii.gz")
        files = {"images": [str(image) for image in images], "labels": str(labels)}
        if pipeline is not None:
            _run_module(pipeline.module, {**files, **pipeline.request}, package.name)
        else:
            modality = package.spec.inputs[0].modality
            request = {**files, "source": str(package.path.resolve()), "modality": modality}
            _run_module(_RUN_DESCRIBED, request, package.name)
        array: LabelArray = np.rint(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(labels)))).astype(np.int64)
    channels = array if array.ndim == 4 else array[np.newaxis]
    return channels[:, ::-1] if is_flipped else channels


def _write_images(case: Case, folder: Path) -> tuple[list[Path], bool]:
    """Writes the image of each input; returns the files, and whether the slices are in the opposite order.

    Raises:
        ModelError: The series have different grids: the original pipelines do not resample one to another.
    """
    paths, is_flipped = [], False
    for number, series in enumerate(case.series):
        if not series.volume.geometry_equal(case.reference_series.volume, tol=_GRID_TOLERANCE):
            raise ModelError(f"model {case.package.name}: cannot be checked: the series of its inputs have other grids")
        volume, is_flipped = in_itk_order(series.volume)
        paths.append(folder / f"image_{number}.nii.gz")
        write_image(volume, paths[-1])
    return paths, is_flipped


def _run_module(module: str, request: dict[str, Any], name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", module, json.dumps(request)], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        raise ModelError(
            f"model {name}: the original pipeline failed: {lines[-1] if lines else f'exit code {ended.returncode}'}"
        )
