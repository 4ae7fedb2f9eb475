"""The models of a task of TotalSegmentator become one package: its classes are those of models that are run singly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clickseg.clicks.click import Clicks
from clickseg.core.errors import ModelError, UsageError
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.model_readers import find_reader
from clickseg.inference.model_sources import find_sources
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.translation_cache import translate
from clickseg.models.class_codes import find_class_codes
from clickseg.models.importers.registry import read_model
from clickseg.models.importers.source_model import ImportOptions, Outcome
from clickseg.models.importers.totalsegmentator.reader import load_class_names
from clickseg.models.package import ModelPackage
from clickseg.models.spec import ModelSpec
from tests.helpers import nnunet_models as nn
from tests.helpers import phantoms
from tests.helpers import totalsegmentator_models as ts
from tests.helpers.full_run import segment_series
from tests.helpers.smooth_series import write_smooth_series

NONE, TOTAL = ImportOptions(), ImportOptions(preset="total")


def read_spec(path: Path, options: ImportOptions = NONE) -> ModelSpec:
    reader = find_reader(path)
    assert reader is not None
    return read_model(path, reader, options).spec


def class_masks(path: Path, options: ImportOptions, series: SeriesVolume, cache: Path) -> dict[str, np.ndarray]:
    """Returns the mask of each class of a run."""
    package: ModelPackage = translate(path, options, cache)
    engine = make_engine(package, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))
    labels = segment_series([series], Clicks(), package, engine).labels
    return {entry.name: labels.mask(number) for number, entry in enumerate(package.spec.classes, 1)}


def test_five_models_are_united_as_if_each_was_run_singly_and_a_later_one_overwrote_the_others(tmp_path: Path) -> None:
    folder = ts.write_datasets(tmp_path / "results", ts.PARTS)
    series = phantoms.read(write_smooth_series(tmp_path / "CT", "CT"))

    united = class_masks(folder, TOTAL, series, tmp_path / "cache")

    expected: dict[str, np.ndarray] = {}
    for number in ts.PARTS:
        masks = class_masks(folder / ts.NAMES[number], ImportOptions(), series, tmp_path / "cache")
        covered = np.any(list(masks.values()), axis=0)
        expected = {name: mask & ~covered for name, mask in expected.items()} | masks
    assert united.keys() == expected.keys()
    assert sum(int(mask.any()) for mask in united.values()) > len(ts.PARTS)
    for name, mask in united.items():
        np.testing.assert_array_equal(mask, expected[name], err_msg=name)


def test_classes_are_in_the_order_of_totalsegmentator_with_channels_of_their_model(tmp_path: Path) -> None:
    folder = ts.write_datasets(tmp_path / "results", ts.PARTS)

    spec = read_spec(folder, TOTAL)

    assert spec.heads == tuple(len(ts.CLASSES[number]) + 1 for number in ts.PARTS)
    channels = {entry.name: entry.channel for entry in spec.classes}
    assert list(channels) == [
        *("spleen", "kidney_right", "liver", "sacrum", "vertebrae_L5", "heart", "aorta", "humerus_left", "skull"),
        *("rib_left_1", "rib_right_1", "sternum", "costal_cartilages"),
    ]
    assert (channels["kidney_right"], channels["sacrum"], channels["sternum"]) == (2, 5, 10)
    (image,) = spec.inputs
    assert spec.image_channels == len(ts.PARTS)
    scalings = [image.scaling, *image.further_scalings]
    assert [scaling.b_min for scaling in scalings] == pytest.approx(
        [(-150 - 10 * part) / (90 + part) for part in range(1, 6)]
    )


@pytest.mark.parametrize(("number", "preset", "spacing_mm"), [(297, "fast", 3), (298, "fastest", 6)])
def test_the_fast_tasks_are_one_model(tmp_path: Path, number: int, preset: str, spacing_mm: float) -> None:
    folder = ts.write_datasets(tmp_path / ".totalsegmentator" / "nnunet" / "results", [297, 298])

    spec = read_spec(folder.parent.parent, ImportOptions(preset=preset))

    assert (spec.heads, spec.image_channels, spec.interpolation) == ((), 1, "labels")
    assert spec.grid.spacing_mm == (spacing_mm,) * 3
    assert (spec.grid.orientation, spec.grid.alignment, spec.grid.image_order) == ("SAR", "end_voxels", 1)
    assert [entry.name for entry in spec.classes] == list(ts.CLASSES[number])


def test_the_classes_of_total_have_codes() -> None:
    names = load_class_names()

    assert (len(names), len(set(names))) == (117, 117)
    assert (names[0], names[49], names[116]) == ("spleen", "vertebrae_C1", "costal_cartilages")
    unknown = [name for name in names if find_class_codes(name, 1).type[1] != "SCT"]
    assert not unknown


def test_the_only_complete_task_is_used(tmp_path: Path) -> None:
    folder = ts.write_datasets(tmp_path / "results", [291, 298])

    assert [entry.name for entry in read_spec(folder).classes] == list(ts.CLASSES[298])


@pytest.mark.parametrize(
    ("numbers", "preset", "message"),
    [
        ([297, 298], "", "expected the datasets of one task, got 297, 298: complete are fast, fastest"),
        ([291, 295], "", "got 291, 295: no task is complete"),
        ([291, 292, 294, 295], "total", "total: missing are the datasets 293"),
        ([297], "fastest", "fastest: missing are the datasets 298"),
        ([297], "heartchambers_highres", "--preset heartchambers_highres: expected total, fast, fastest"),
    ],
)
def test_missing_and_several_tasks_are_one_error(tmp_path: Path, numbers: list[int], preset: str, message: str) -> None:
    folder = ts.write_datasets(tmp_path / "results", numbers)

    with pytest.raises(ModelError, match=message):
        read_spec(folder, ImportOptions(preset=preset))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spacing": [1.5, 1.5, 2.0]}, "Dataset292.*: spacing: expected 1.5 mm along all axes"),
        ({"patch_size": [16, 16, 8]}, "Dataset292.*: window: expected"),
        ({"preprocessor_name": "Other"}, "Dataset292.*: .*preprocessor_name"),
    ],
)
def test_models_that_cannot_be_run_together_are_one_error(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    folder = ts.write_datasets(tmp_path / "results", [291, 293, 294, 295])
    ts.write_dataset(folder, 292, **changes)

    with pytest.raises(ModelError, match=message):
        read_spec(folder, TOTAL)


def test_a_folder_with_other_models_is_not_one_of_totalsegmentator(tmp_path: Path) -> None:
    folder = ts.write_datasets(tmp_path / "models", [297])
    (folder / "my_bundle").mkdir()

    assert find_reader(folder) is None
    assert list(find_sources(folder)) == [ts.NAMES[297]]


def test_differences_are_noted_and_options_without_effect_are_errors(tmp_path: Path) -> None:
    folder = ts.write_datasets(tmp_path / "results", [298])
    reader = find_reader(folder)
    assert reader is not None

    notes = reader.read(folder, ImportOptions()).notes

    different = [note.text for note in notes if note.outcome is Outcome.DIFFERENT]
    assert any("rounds the resampled image to integers" in text for text in different)
    assert not [note for note in notes if note.outcome is Outcome.ASSUMED]
    with pytest.raises(UsageError, match="--stored-axes: has no effect on totalsegmentator_fastest"):
        read_spec(folder, ImportOptions(stored_axes="LPS"))


def test_what_differs_for_all_models_is_noted_once(tmp_path: Path) -> None:
    folder = ts.write_datasets(tmp_path / "results", ts.PARTS)
    reader = find_reader(folder)
    assert reader is not None

    notes = reader.read(folder, TOTAL).notes

    assert sum("in f16" in note.text for note in notes) == 1
    assert [note.text for note in notes if "patch_size" in note.key] == [
        "window.roi; evenly spread, with an overlap of 0.2 and nnU-Net's Gaussian weights"
    ]


def test_next_to_other_models_the_task_must_be_named(tmp_path: Path) -> None:
    folder = ts.write_datasets(tmp_path / "nnUNet_results", [298])
    nn.write_model(folder / "Dataset007_Abdomen" / nn.IDENTIFIER)

    with pytest.raises(ModelError, match="models of TotalSegmentator, and others: Dataset007_Abdomen"):
        read_spec(folder)
    assert [entry.name for entry in read_spec(folder, ImportOptions(preset="fastest")).classes] == ["spleen", "liver"]
