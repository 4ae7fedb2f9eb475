"""The Python API gives the results of the command in memory; the examples in README and docs are run."""

from __future__ import annotations

import gc
import io
import json
import logging
import shutil
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

import clickseg
from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.formats.clicks_json import write_clicks_json
from clickseg.core.errors import ClickError, EngineError, InputError, ModelError, SeriesError, SessionError, UsageError
from clickseg.inference.case import PreprocessedCase
from tests.helpers import phantoms, runs
from tests.helpers.described_series import write_described_series

REPOSITORY = Path(__file__).parents[1]
INSIDE = runs.click(9, 11, 13)
OUTSIDE = runs.click(3, 3, 4, polarity=Polarity.BACKGROUND)

pytestmark = pytest.mark.usefixtures("clean_environ")


@pytest.fixture(autouse=True)
def clock_and_cache(
    monkeypatch: pytest.MonkeyPatch, clean_environ: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.write_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def model(models: Path) -> clickseg.ModelPackage:
    return clickseg.load_model(models / "thresholder")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CT of a hook, and a click file."""
    return runs.write_input(tmp_path_factory.mktemp("study"), INSIDE)


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """The logs of ClickSeg, even if a command has changed the logger in this process."""
    monkeypatch.setattr(logging.getLogger("clickseg"), "propagate", True)
    return caplog


def files_without_report(folder: Path) -> dict[str, bytes]:
    """Returns the files of a folder, except for the report, which contains durations."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "report.json"}


def report_without_durations(folder: Path) -> dict[str, object]:
    """Returns the report of a run, without its durations and peak memory."""
    report = json.loads((folder / "report.json").read_text())
    del report["peak_memory_mb"]
    for entry in report["series"]:
        entry["seconds"] = sorted(entry["seconds"])
    return report


def encode_dataset(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


# Imports


def modules_after(code: str) -> set[str]:
    """Returns the libraries that a new process has imported after running some code."""
    code += "\nimport sys; print(*(name for name in sys.modules if '.' not in name))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ended.stdout.split()) & {"highdicom", "monai", "numpy", "openvino", "pydicom", "torch"}


def test_importing_clickseg_imports_no_library() -> None:
    assert modules_after("import clickseg; dir(clickseg); clickseg.__version__") == set()


def test_a_name_imports_only_what_it_needs() -> None:
    assert modules_after("from clickseg import ClickSegError") == set()
    assert modules_after("from clickseg import Click, Polarity") == {"numpy"}
    assert "openvino" not in modules_after("from clickseg import *")


def test_every_public_name_exists_and_is_listed() -> None:
    assert set(clickseg.__all__) <= set(dir(clickseg))
    assert all(getattr(clickseg, name) is not None for name in clickseg.__all__)
    assert clickseg.Click is Click


@pytest.mark.parametrize(("old", "new"), [("Model", "ModelPackage"), ("Series", "SeriesVolume")])
def test_a_renamed_name_is_an_attribute_error_with_the_new_name(old: str, new: str) -> None:
    with pytest.raises(AttributeError, match=rf"clickseg\.{old} was renamed to clickseg\.{new}"):
        getattr(clickseg, old)
    assert new in clickseg.__all__


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'clickseg' has no attribute 'Clicks'"):
        clickseg.Clicks  # noqa: B018 - the look-up is the test


# segment


def test_segment_writes_the_files_of_the_command_and_returns_them(tmp_path: Path, study: Path, models: Path) -> None:
    command, api = tmp_path / "command", tmp_path / "api"

    ended = runs.run_clickseg("segment", study, "-o", command, "-m", models, "--device", "cpu")
    result = clickseg.segment(study, api, model=models / "thresholder", device="cpu")[0]

    assert ended.returncode == 0, ended.stderr
    assert files_without_report(api) == files_without_report(command)
    assert report_without_durations(api) == report_without_durations(command)
    assert sorted(result.files) == ["preview", "seg", "sr"]
    assert encode_dataset(result.seg) == result.files["seg"].read_bytes()
    assert encode_dataset(result.sr) == result.files["sr"].read_bytes()


def test_without_an_output_the_results_are_the_same_and_no_file_is_written(
    tmp_path: Path, study: Path, model: clickseg.ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(study.rglob("*"))
    written = clickseg.segment(study, tmp_path / "out", model=model)[0]

    in_memory = clickseg.segment(str(study), model=model)[0]

    assert in_memory.files == {}
    assert encode_dataset(in_memory.seg) == encode_dataset(written.seg)
    assert encode_dataset(in_memory.sr) == encode_dataset(written.sr)
    assert sorted(study.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_masks_of_a_result_have_their_positions_in_millimetres(study: Path, model: clickseg.ModelPackage) -> None:
    result = clickseg.segment(study, model=model)[0]

    expected = runs.expected_labels(INSIDE)
    np.testing.assert_array_equal(result.label_map.array, expected)
    np.testing.assert_array_equal(result.mask("hook"), expected)
    np.testing.assert_allclose(result.geometry.spacing, [3.1, 1.7, 0.9], atol=1e-6)
    np.testing.assert_allclose(
        result.geometry.map_indices_to_reference(np.argwhere(result.mask("hook"))),
        runs.GEOMETRY.map_indices_to_reference(np.argwhere(expected)),
        atol=1e-4,
    )
    assert result.measurements["hook"].volume_ml == pytest.approx(expected.sum() * 3.1 * 1.7 * 0.9 / 1000)
    assert (result.class_names, result.clicks) == (("hook",), (INSIDE,))
    assert result.series_uid == str(result.seg.ReferencedSeriesSequence[0].SeriesInstanceUID)


def test_clicks_come_from_the_input_a_file_several_files_or_memory(
    tmp_path: Path, study: Path, model: clickseg.Model
) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, click in zip(paths, (INSIDE, OUTSIDE), strict=True):
        write_clicks_json(Clicks((click,)), path)

    def segment_mask(clicks: object) -> np.ndarray:
        return clickseg.segment(study, model=model, clicks=clicks)[0].mask("hook")

    np.testing.assert_array_equal(segment_mask(None), runs.expected_labels(INSIDE))
    np.testing.assert_array_equal(segment_mask(str(paths[1])), runs.expected_labels(OUTSIDE))
    np.testing.assert_array_equal(segment_mask(paths), runs.expected_labels(INSIDE, OUTSIDE))
    np.testing.assert_array_equal(segment_mask([OUTSIDE]), runs.expected_labels(OUTSIDE))
    np.testing.assert_array_equal(segment_mask([]), runs.expected_labels())


def test_a_series_in_memory_gives_the_same_documents_as_its_folder(study: Path, model: clickseg.ModelPackage) -> None:
    series = clickseg.read_series(study)

    result = clickseg.segment(series, model=model, clicks=[INSIDE])[0]

    assert encode_dataset(result.seg) == encode_dataset(clickseg.segment(study, model=model)[0].seg)
    assert clickseg.segment([series], model=model)[0].clicks == ()


def test_the_result_of_a_series_in_memory_has_the_files_of_the_command(
    tmp_path: Path, study: Path, model: clickseg.ModelPackage
) -> None:
    clickseg.segment(study, tmp_path / "of folder", model=model)
    series = clickseg.read_series(study)

    clickseg.segment(series, tmp_path / "of series", model=model, clicks=study / "clicks.json")

    assert files_without_report(tmp_path / "of series") == files_without_report(tmp_path / "of folder")


def test_an_empty_result_has_no_segmentation(tmp_path: Path, model: clickseg.ModelPackage) -> None:
    phantoms.write(tmp_path / "CT", phantoms.hook_volume(runs.GEOMETRY, -500, -700))

    result = clickseg.segment(tmp_path, model=model)[0]

    assert result.seg is None
    assert result.measurements == {}
    assert not result.mask("hook").any()
    assert result.sr.Modality == "SR"


def test_a_failed_series_is_reported_with_the_results_of_the_others(
    tmp_path: Path, model: clickseg.ModelPackage, logs: pytest.LogCaptureFixture
) -> None:
    study = runs.write_input(tmp_path / "in", name="whole")
    broken = runs.write_input(study / "more", name="broken") / "CT"
    phantoms.change(broken, lambda image: setattr(image, "PixelData", image.PixelData[:-2]))

    results = clickseg.segment(study, tmp_path / "out", model=model)

    (result,), (failed,) = results, results.failures
    assert result.series_uid == str(phantoms.header("CT", "whole").SeriesInstanceUID)
    assert failed.series_uid == str(phantoms.header("CT", "broken").SeriesInstanceUID)
    assert isinstance(failed.error, InputError)
    assert str(failed.error) in logs.text
    assert (tmp_path / "out" / "report.json").is_file()


def test_the_error_is_raised_if_every_series_fails_and_no_file_is_written(
    tmp_path: Path, study: Path, model: clickseg.Model
) -> None:
    far = Click("hook", Polarity.FOREGROUND, (1e6, 0, 0))

    with pytest.raises(ClickError, match=r"click 1: .* outside the series"):
        clickseg.segment(study, tmp_path / "out", model=model, clicks=[far])

    assert not (tmp_path / "out").exists()


def test_a_hint_is_shown_below_a_traceback() -> None:
    error = clickseg.ClickSegError("no", hint="do this")

    assert getattr(error, "__notes__", ["hint: do this"]) == ["hint: do this"]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (
            {"clicks": [(1.0, 2.0, 3.0)]},
            UsageError,
            "expected paths of click files, or Click objects, got tuple",
        ),
        ({"clicks": 5}, UsageError, "expected paths of click files, or Click objects, got int"),
        ({"clicks": "nowhere.json"}, ClickError, "nowhere.json: cannot be read"),
        ({"device": "tpu"}, UsageError, "device: expected auto, cpu, cuda or cuda:N, got 'tpu'"),
        ({"model": "no model"}, ModelError, "no model 'no model': expected one of lesion, pet_lesion"),
        ({"input": []}, UsageError, "expected at least one series, got none"),
        ({"input": "nowhere"}, InputError, "no such file or folder: nowhere"),
        ({"input": None}, UsageError, "input: expected SeriesVolume, or several, got NoneType"),
        ({"input": ["nowhere"]}, UsageError, "input: expected SeriesVolume, got str"),
        ({"output": 5}, UsageError, "output: expected a path, got int"),
        ({"device": None}, UsageError, "device: expected str, got NoneType"),
        ({"model": 5}, UsageError, "model: expected a path, got int"),
        ({"input_series": "T1=1.2"}, UsageError, "input_series: expected Mapping, got str"),
        ({"input_series": {"T1": 5}}, UsageError, "input_series: T1: expected str, got int"),
        ({"input_series": {1: "1.2"}}, UsageError, "input_series: name: expected str, got int"),
    ],
)
def test_an_invalid_argument_is_rejected_and_no_file_is_written(
    arguments: dict[str, object],
    kind: type[Exception],
    message: str,
    study: Path,
    model: clickseg.ModelPackage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(kind, match=message):
        clickseg.segment(**{"input": study, "output": "out", "model": model} | arguments)

    assert list(tmp_path.iterdir()) == []


def test_arguments_of_another_type_are_rejected(study: Path, model: clickseg.ModelPackage) -> None:
    series = clickseg.read_series(study)

    with pytest.raises(UsageError, match="path: expected a path, got int"):
        clickseg.read_series(5)
    with pytest.raises(UsageError, match="model: expected ModelPackage, got str"):
        clickseg.Session(series, "thresholder")
    with pytest.raises(UsageError, match="series: expected SeriesVolume, or several, got str"):
        clickseg.Session(str(study), model)
    with pytest.raises(UsageError, match="folder: expected a path, got int"):
        clickseg.Session(series, model, folder=5)
    with clickseg.Session(series, model) as session:
        with pytest.raises(UsageError, match="clicks: expected Click, got tuple"):
            session.add_click((1.0, 2.0, 3.0))
        with pytest.raises(ClickError, match="remove: expected a click number from 1 to 0, got '1'"):
            session.remove_click("1")
        with pytest.raises(SessionError, match="user: expected a name"):
            session.reset(user=5)
        assert session.steps == ()


def test_a_failed_series_does_not_stay_in_memory(
    study: Path, model: clickseg.ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes = []

    def fail(prepared: PreprocessedCase, *_: object) -> None:
        volumes.append(weakref.ref(prepared.case.reference_series.volume))
        raise EngineError("no memory") from ValueError("the cause")

    monkeypatch.setattr("clickseg.batch.steps.infer", fail)
    with pytest.raises(EngineError, match="no memory") as caught:
        clickseg.segment(study, model=model)
    error = caught.value.with_traceback(None)
    del caught
    gc.collect()

    assert isinstance(error.__cause__, ValueError)
    assert [volume() for volume in volumes] == [None]


def test_an_unknown_class_is_rejected(study: Path, model: clickseg.ModelPackage) -> None:
    result = clickseg.segment(study, model=model)[0]

    with pytest.raises(UsageError, match="unknown class 'liver': expected one of hook"):
        result.mask("liver")


def test_environment_variables_of_the_command_are_ignored(
    study: Path, model: clickseg.ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICKSEG_CLICKS", "none")
    monkeypatch.setenv("CLICKSEG_DEVICE", "tpu")
    monkeypatch.setenv("CLICKSEG_MODELS", "nowhere")

    assert clickseg.segment(study, model=model)[0].clicks == (INSIDE,)
    assert clickseg.load_model("pet_lesion").name == "pet_lesion"


def test_calls_in_several_threads_give_the_same_bytes(study: Path, model: clickseg.ModelPackage) -> None:
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: clickseg.segment(study, model=model)[0], range(3)))

    assert len({encode_dataset(result.seg) for result in results}) == 1


# read_series


def test_a_series_is_read_with_its_values_and_geometry(study: Path) -> None:
    series = clickseg.read_series(str(study))

    assert (series.unit, series.volume.frame_of_reference_uid) == ("HU", str(phantoms.header("CT").FrameOfReferenceUID))
    np.testing.assert_array_equal(series.volume.array, phantoms.hook_volume(runs.GEOMETRY, 500, -700).array)
    np.testing.assert_allclose(series.volume.affine, runs.GEOMETRY.affine, atol=1e-6)


def test_one_of_several_series_is_selected_by_its_uid(tmp_path: Path) -> None:
    uids = [str(phantoms.header("CT", name).SeriesInstanceUID) for name in ("one", "other")]
    for name in ("one", "other"):
        runs.write_input(tmp_path / name, name=name)

    with pytest.raises(InputError, match=r"expected one series, got 2: CT .* in one/CT, CT .* in other/CT") as raised:
        clickseg.read_series(tmp_path)

    assert clickseg.read_series(tmp_path, uids[1]).files.series_uid == uids[1]
    assert raised.value.hint == f"pass the UID of one: {uids[0]} (CT, Phantom CT); {uids[1]} (CT, Phantom CT)"
    with pytest.raises(InputError, match=r"no series 1\.2\.3 in the input"):
        clickseg.read_series(tmp_path, "1.2.3")


def test_an_irregular_series_is_rejected_and_a_regular_one_in_the_same_folder_is_read(
    tmp_path: Path, logs: pytest.LogCaptureFixture
) -> None:
    gap = runs.write_input(tmp_path, name="gap") / "CT"
    sorted(gap.iterdir())[5].unlink()

    with pytest.raises(SeriesError):
        clickseg.read_series(tmp_path)

    runs.write_input(tmp_path / "more", name="whole")
    assert clickseg.read_series(tmp_path).files.folder == "more/CT"
    assert f"ignored: CT {phantoms.header('CT', 'gap').SeriesInstanceUID} in CT" in logs.text


@pytest.mark.parametrize("repair", ["resample", ["resample", "drop-localizers"]])
def test_a_repaired_series_gives_the_documents_of_the_command(
    tmp_path: Path, study: Path, model: clickseg.ModelPackage, repair: str | list[str]
) -> None:
    gap = shutil.copytree(study / "CT", tmp_path / "gap")
    sorted(gap.iterdir())[5].unlink()
    command = ("segment", gap, "-o", tmp_path / "out", "-m", model.path, "--repair", "resample", "--clicks", "none")
    assert runs.run_clickseg(*command).returncode == 0

    series = clickseg.read_series(gap, repair=repair)
    result = clickseg.segment(series, clicks=(), model=model)[0]

    assert series.volume.spatial_shape == runs.GEOMETRY.spatial_shape
    written = {path.read_bytes() for path in (tmp_path / "out").glob("*.dcm")}
    assert written == {encode_dataset(result.seg), encode_dataset(result.sr)}


@pytest.mark.parametrize(
    ("repair", "message"),
    [("resampel", "unknown repair 'resampel'"), (["resample", 2], "repair: expected str, got int")],
)
def test_an_invalid_repair_is_a_usage_error(study: Path, repair: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clickseg.read_series(study, repair=repair)


def test_one_of_several_volumes_in_a_series_is_selected_by_its_file(tmp_path: Path) -> None:
    images = phantoms.instances(phantoms.hook_volume(runs.GEOMETRY, 500, -700))
    for name, sop_uid in (("a", "2.25.78"), ("b", "2.25.79")):
        phantoms.write_legacy_enhanced(tmp_path / name, images)
        phantoms.change(tmp_path / name, lambda image, uid=sop_uid: setattr(image, "SOPInstanceUID", uid))

    with pytest.raises(InputError, match="expected one series, got 2") as raised:
        clickseg.read_series(tmp_path, "2.25.77")

    assert raised.value.hint == (
        "the series contains several volumes; pass the file of one of them: a/enhanced.dcm, b/enhanced.dcm"
    )
    assert clickseg.read_series(tmp_path / "b" / "enhanced.dcm").volume.spatial_shape == runs.GEOMETRY.spatial_shape


# load_model


def test_a_model_is_loaded_by_name_or_by_path(models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert clickseg.load_model("pet_lesion").path == REPOSITORY / "models" / "pet_lesion"

    monkeypatch.chdir(models)
    assert [clickseg.load_model(name).name for name in ("thresholder", "./thresholder", str(models), models)] == [
        "thresholder"
    ] * 4


def test_a_missing_or_ambiguous_model_is_rejected(tmp_path: Path) -> None:
    runs.write_model(tmp_path, "first")
    runs.write_model(tmp_path, "second")

    with pytest.raises(ModelError, match="expected one model package, got 2: first, second"):
        clickseg.load_model(tmp_path)
    with pytest.raises(ModelError, match=r"no model at .*nowhere"):
        clickseg.load_model(tmp_path / "nowhere")


# Session


def test_a_session_is_opened_with_a_series_and_a_model(tmp_path: Path, study: Path, models: Path) -> None:
    series, model = clickseg.read_series(study), clickseg.load_model(models / "thresholder")

    with clickseg.Session(series, model, folder=str(tmp_path / "session"), device="cpu") as session:
        session.add_click(INSIDE)
        session.wait()
        mask = session.label_map.mask(1)

    np.testing.assert_array_equal(mask, runs.expected_labels(INSIDE))
    assert (tmp_path / "session" / "session.json").is_file()


def test_series_in_memory_in_different_frames_of_reference_are_an_error(tmp_path: Path) -> None:
    volume = phantoms.distinct_volume(phantoms.oblique_geometry())
    series = [
        clickseg.read_series(write_described_series(tmp_path / name, [("T1", volume)], name=name))
        for name in ("first", "second")
    ]
    images = [{"name": name, "modality": "MR", "unit": "", "scaling": phantoms.RANGE} for name in ("T1", "T2")]
    path = phantoms.write_package(tmp_path / "model", phantoms.metadata(inputs=images))

    with pytest.raises(InputError, match=r"model model: expected series in one frame of reference, got 2\S+, 2\S+"):
        clickseg.segment(series, model=clickseg.load_model(path))
