"""Models of other tools are found where the user names them, translated once, and run like model packages."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clickseg import load_model, segment
from clickseg.core.errors import ModelError, UsageError
from clickseg.inference.model_readers import get_reader
from clickseg.inference.model_sources import find_models
from clickseg.models.find import ModelPath, model_paths
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import load_package
from tests.helpers import runs
from tests.helpers.foreign_bundles import write_runnable_bundle
from tests.helpers.foreign_programs import SHIFT_VOX, write_shifter


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "clickseg"


def find(path: Path, cache: Path, name: str | None = None, options: ImportOptions | None = None) -> list[str]:
    """Returns the names of the models that a run finds at a path."""
    packages = find_models(model_paths(path, {}), name, options or ImportOptions(), cache)
    return [package.name for package in packages]


def shifted_hook(axis: int, voxels: int) -> np.ndarray:
    """Returns the hook [K, J, I], shifted by voxels along an axis; what enters is background."""
    hook = np.moveaxis(runs.expected_labels(), axis, 0)
    shifted = np.zeros_like(hook)
    if voxels > 0:
        shifted[voxels:] = hook[:-voxels]
    else:
        shifted[:voxels] = hook[-voxels:]
    return np.moveaxis(shifted, 0, axis)


def test_the_images_have_the_axes_of_dicom_unless_others_are_stated(tmp_path: Path, cache: Path) -> None:
    study = runs.write_input(tmp_path / "study")
    program = write_shifter(tmp_path)

    (as_stored,) = segment(study, model=program)
    (as_ras,) = segment(study, model=load_model(program, stored_axes=opposite_of_columns()))

    np.testing.assert_array_equal(as_stored.mask("hook"), shifted_hook(2, SHIFT_VOX))
    np.testing.assert_array_equal(as_ras.mask("hook"), shifted_hook(2, -SHIFT_VOX))


def opposite_of_columns() -> str:
    """Returns axes of which the first is against the direction of the columns of the test series."""
    towards_patient = runs.GEOMETRY.get_closest_patient_orientation()
    letters = [direction.value for direction in reversed(towards_patient)]
    opposite = {"L": "R", "R": "L", "A": "P", "P": "A", "F": "I", "H": "S", "S": "I", "I": "S"}
    names = {"F": "I", "H": "S"}
    return opposite[letters[0]] + "".join(names.get(letter, letter) for letter in letters[1:])


def test_a_model_is_translated_once(tmp_path: Path, cache: Path) -> None:
    program = write_shifter(tmp_path)

    first = load_model(program)
    changed_s = (first.path / "configs" / "metadata.json").stat().st_mtime_ns
    second = load_model(program)

    assert (first.name, first.path, first.spec) == ("shifter", second.path, second.spec)
    assert first.path.is_relative_to(cache / "models")
    assert (second.path / "configs" / "metadata.json").stat().st_mtime_ns == changed_s


def test_other_weights_another_description_and_other_options_are_translated_again(tmp_path: Path, cache: Path) -> None:
    paths = [load_model(write_shifter(tmp_path)).path]
    paths.append(load_model(tmp_path / "shifter.ts", stored_axes="RAS").path)
    paths.append(load_model(tmp_path / "shifter.ts", changes={"window.overlap": 0.25}).path)
    paths.append(load_model(write_shifter(tmp_path, interpolation="labels")).path)

    assert len(set(paths)) == 4
    assert [load_package(path).spec.window.overlap for path in paths] == [0, 0, 0.25, 0]


def test_a_damaged_translation_is_made_again(tmp_path: Path, cache: Path) -> None:
    program = write_shifter(tmp_path)
    metadata = load_model(program).path / "configs" / "metadata.json"
    intact = metadata.read_text()
    metadata.write_text(intact.replace('"overlap": 0', '"overlap": 0.9'))

    load_model(program)

    assert metadata.read_text() == intact


def test_a_translation_that_fails_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    program = write_shifter(tmp_path, output_channels=3, classes=[{"name": "hook", "channel": 2}])

    with pytest.raises(Exception, match="model shifter: expected"):
        load_model(program)

    assert [path for path in (cache / "models").rglob("*") if path.is_file()] == []


def test_the_only_model_in_a_folder_is_found(tmp_path: Path, cache: Path) -> None:
    write_runnable_bundle(tmp_path / "models" / "spleen")

    assert find(tmp_path / "models", cache) == ["spleen"]
    assert find(tmp_path / "models", cache, "spleen") == ["spleen"]


def test_of_several_models_in_a_folder_one_must_be_named(tmp_path: Path, cache: Path) -> None:
    for name in ("liver", "spleen"):
        write_runnable_bundle(tmp_path / "models" / name)

    with pytest.raises(ModelError, match="models: expected one model, got 2: liver, spleen"):
        find(tmp_path / "models", cache)
    assert find(tmp_path / "models", cache, "spleen") == ["spleen"]


def test_packages_in_a_folder_take_precedence_unless_the_other_model_is_named(tmp_path: Path, cache: Path) -> None:
    runs.write_model(tmp_path / "models")
    write_runnable_bundle(tmp_path / "models" / "spleen")

    assert find(tmp_path / "models", cache) == ["thresholder"]
    assert find(tmp_path / "models", cache, "spleen") == ["spleen"]


def test_a_program_in_a_folder_is_an_error_that_says_to_name_it(tmp_path: Path, cache: Path) -> None:
    program = write_shifter(tmp_path / "models")

    with pytest.raises(ModelError, match="contains only a TorchScript program") as error:
        load_model(tmp_path / "models")

    assert error.value.hint == f"name it: -m {program}"


def test_a_package_cannot_be_imported(tmp_path: Path, cache: Path) -> None:
    package = load_model(write_shifter(tmp_path))

    with pytest.raises(ModelError, match="is a model package already"):
        get_reader(package.path)


def test_the_error_about_a_path_without_a_model_names_what_can_be_imported(tmp_path: Path) -> None:
    bundle = write_runnable_bundle(tmp_path / "above" / "spleen")
    archive = shutil.make_archive(str(tmp_path / "bundle"), "zip", bundle)

    with pytest.raises(ModelError, match="missing: no such file or folder"):
        get_reader(tmp_path / "missing")
    with pytest.raises(ModelError, match="expected a MONAI Bundle") as above:
        get_reader(tmp_path / "above")
    with pytest.raises(ModelError, match="expected a MONAI Bundle") as zipped:
        get_reader(Path(archive))
    with pytest.raises(ModelError, match="no model at") as run:
        load_model(archive)

    assert above.value.hint == f"name the model in it: {bundle}"
    assert "unpack the zip file" in str(zipped.value.hint)
    assert run.value.hint == zipped.value.hint


def test_a_folder_that_nobody_named_is_not_searched_for_models_of_other_tools(tmp_path: Path, cache: Path) -> None:
    write_runnable_bundle(tmp_path / "models" / "spleen")

    with pytest.raises(ModelError, match="no model package in any of"):
        find_models((ModelPath(tmp_path / "models", is_required=False),), None, ImportOptions(), cache)


def test_options_about_other_tools_are_an_error_for_a_model_package(tmp_path: Path, cache: Path) -> None:
    models = runs.write_model(tmp_path / "models")

    with pytest.raises(UsageError, match="only for models of other tools, but thresholder is a model package"):
        find(models, cache, options=ImportOptions(unit="HU"))


def test_a_program_is_run_by_its_name_and_in_a_package_only_on_request(tmp_path: Path, cache: Path) -> None:
    package = load_model(write_shifter(tmp_path))
    shutil.copytree(package.path, tmp_path / "copy")

    assert package.may_run_script
    assert not load_model(tmp_path / "copy").may_run_script


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stored_axes": "xyz"}, "stored-axes: expected one letter of each"),
        ({"unit": "suv"}, "unit: expected HU, SUVbw"),
        ({"unit": 3}, "unit: expected a text, got 3"),
        ({"preset": 3}, "preset: expected a text, got 3"),
        ({"stored_axes": ("L", "P", "S")}, "stored-axes: expected a text"),
        ({"changes": ["window.overlap"]}, "changes: expected values by key"),
        ({"changes": {1: 2}}, "changes: expected values by key"),
        ({"changes": {"window.overlap": float("nan")}}, "changes: window.overlap: expected a value of JSON"),
        ({"changes": {"window.overlap": Path("a")}}, "changes: window.overlap: expected a value of JSON"),
    ],
)
def test_python_checks_what_is_stated_about_a_model(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_model("model.pt", **options)


def test_a_file_that_does_not_exist_is_not_taken_for_the_name_of_a_model() -> None:
    with pytest.raises(ModelError, match=r"no model at nowhere\.pt: no such file or folder"):
        load_model("nowhere.pt")


def test_models_of_other_tools_next_to_packages_are_not_ignored_silently(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs.write_model(tmp_path / "models")
    write_runnable_bundle(tmp_path / "models" / "spleen")

    with caplog.at_level("INFO", "clickseg"):
        find(tmp_path / "models", cache)

    assert f"ignored: models of other tools in {tmp_path / 'models'}: spleen; select one with --model" in caplog.text
