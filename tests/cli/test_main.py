"""The commands ``segment``, ``inspect`` and ``demo``, and errors of the command line, as users call them."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK
from PIL import Image
from pydicom import dcmread

from clickseg.batch import run
from clickseg.batch.plan import RunPlan
from clickseg.batch.settings import RunSettings
from clickseg.cli.main import main
from clickseg.clicks.click import Polarity
from tests.helpers import phantoms, runs
from tests.helpers.dicom_results import dciodvfy_errors
from tests.helpers.runs import run_clickseg

FAR_CLICK = runs.click(9, 11, 13)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return runs.write_model(tmp_path / "models")


def find_only(folder: Path, suffix: str, sop_class: str = "") -> Path:
    """Returns the only file with a suffix, and if given with a SOP Class."""
    (path,) = (
        path
        for path in folder.glob(f"*{suffix}")
        if not sop_class or dcmread(path).SOPClassUID.name.startswith(sop_class)
    )
    return path


def test_segment_writes_seg_sr_preview_and_report(tmp_path: Path, models: Path, dciodvfy: str) -> None:
    study, out = runs.write_input(tmp_path / "in", FAR_CLICK), tmp_path / "out"

    result = runs.run_clickseg_process("segment", study, "-o", out, "-m", models, "--precision", "f32")

    assert (result.returncode, result.stderr) == (
        0,
        "CT series in CT: model thresholder, 1 click of clicks.json (1 foreground)\n",
    )
    seg, report = find_only(out, ".dcm", "Segmentation"), find_only(out, ".dcm", "Comprehensive 3D SR")
    assert sorted(path.suffix for path in out.iterdir()) == [".dcm", ".dcm", ".json", ".png"]
    assert [path.stem for path in out.glob("*.dcm")] == [str(dcmread(p).SOPInstanceUID) for p in out.glob("*.dcm")]
    with Image.open(seg.with_suffix(".png")) as picture:
        assert picture.height > 300
    assert dciodvfy_errors(seg, dciodvfy) == []
    assert dciodvfy_errors(report, dciodvfy) == []
    assert f"seg      {seg}" in result.stdout
    series = phantoms.read(study / "CT")
    sources = [plane.instance.text("SOPInstanceUID") for plane in series.stack.planes]
    pixels = hd.seg.segread(seg).get_pixels_by_source_instance(
        sources, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(pixels[..., 0] > 0, runs.expected_labels(FAR_CLICK))
    assert dcmread(seg).SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"


def test_the_report_describes_the_run(tmp_path: Path, models: Path) -> None:
    study, out = runs.write_input(tmp_path / "in", FAR_CLICK), tmp_path / "out"
    runs.write_input(study, modality="MR")

    run_clickseg("segment", study, "-o", out, "-m", models, "--statistics", "--precision", "f32")

    report = json.loads((out / "report.json").read_text())
    (entry,) = report["series"]
    assert report["created"] == "2023-11-14T22:13:20+00:00"
    assert report["model"] == {"name": "thresholder", "version": "1.2.3"}
    assert set(entry["seconds"]) == {"reading", "preprocessing", "inference", "postprocessing", "writing"}
    (segment,) = entry["segments"]
    voxels = runs.expected_labels(FAR_CLICK).sum()
    assert segment["volume_ml"] == pytest.approx(voxels * runs.GEOMETRY.voxel_volume / 1000, abs=1e-4)
    values = phantoms.hook_volume(runs.GEOMETRY, 500, -700).array[runs.expected_labels(FAR_CLICK)]
    assert segment["statistics"] == {
        "unit": "HU",
        "mean": pytest.approx(values.mean(), abs=1e-2),
        "std": pytest.approx(values.std(), abs=1e-2),
        "min": -700,
        "max": 500,
    }
    assert entry["clicks"]["foreground"] == 1
    assert entry["engine"]["precision"] == "f32"
    assert set(entry["weights"]) == {"model.bin", "model.xml"}
    assert entry["windows"]["count"] > entry["windows"]["reused"] > 0  # windows of air around the hook are equal
    assert all((out / name).is_file() for name in entry["files"].values())
    (passed_over,) = report["skipped_series"]
    assert passed_over["modality"] == "MR"
    assert str(tmp_path) not in (out / "report.json").read_text()


def test_the_same_input_gives_identical_files(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in", FAR_CLICK)

    for name in ("a", "b"):
        run_clickseg("segment", study, "-o", tmp_path / name, "-m", models)

    assert runs.read_result_files(tmp_path / "a") == runs.read_result_files(tmp_path / "b")


def test_clicks_in_the_input_can_be_ignored(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in", FAR_CLICK)

    result = run_clickseg("segment", study, "-o", tmp_path / "a", "-m", models, "--clicks", "none")
    run_clickseg("segment", study, "-o", tmp_path / "b", "-m", models, CLICKSEG_CLICKS="none")

    assert "ignored: the clicks of clicks.json" in result.stderr
    assert (
        dcmread(find_only(tmp_path / "a", ".dcm", "Segmentation")).SegmentSequence[0].SegmentAlgorithmType
        == "AUTOMATIC"
    )
    assert runs.read_result_files(tmp_path / "a") == runs.read_result_files(tmp_path / "b")


def test_an_empty_result_is_valid(tmp_path: Path, models: Path, dciodvfy: str) -> None:
    phantoms.write(tmp_path / "in", phantoms.hook_volume(runs.GEOMETRY, -500, -700))
    out = tmp_path / "out"

    result = run_clickseg("segment", tmp_path / "in", "-o", out, "-m", models)

    assert result.returncode == 0
    assert "no segments: the result is empty" in result.stdout
    assert dciodvfy_errors(find_only(out, ".dcm"), dciodvfy) == []
    assert json.loads((out / "report.json").read_text())["series"][0]["segments"] == []


@pytest.mark.parametrize("encoding", ["BINARY", "LABELMAP"])
def test_classes_that_overwrite_each_other_are_one_label_map_in_seg_and_nifti(tmp_path: Path, encoding: str) -> None:
    section = phantoms.metadata(
        activation="sigmoid",
        overwrite=True,
        output_channels=3,
        classes=[phantoms.organ("all", 1), phantoms.organ("hook", 2)],
        grid={"spacing_mm": runs.GRID_SPACING_MM, "orientation": "RAS"},
    )
    phantoms.write_linear_model(tmp_path / "m", section, weights=[[0], [0], [1]], bias=[9, 1, 0])
    study, out = runs.write_input(tmp_path / "in"), tmp_path / "out"

    result = run_clickseg("segment", study, "-o", out, "-m", tmp_path / "m", "--nifti", "--segmentation-type", encoding)

    assert result.returncode == 0, result.stderr
    series = phantoms.read(study / "CT")
    expected = np.where(runs.expected_labels(), 2, 1)
    image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(find_only(out, ".nii.gz"))))
    assert sorted(np.unique(image)) == [1, 2]
    assert np.count_nonzero(image == 2) == runs.expected_labels().sum()
    (seg,) = (path for path in out.glob("*.dcm") if "SegmentSequence" in dcmread(path))
    pixels = hd.seg.segread(seg).get_pixels_by_source_instance(
        [plane.instance.text("SOPInstanceUID") for plane in series.stack.planes],
        combine_segments=True,
        ignore_spatial_locations=True,
    )
    np.testing.assert_array_equal(pixels, expected)
    segments = json.loads((out / "report.json").read_text())["series"][0]["segments"]
    assert [segment["label"] for segment in segments] == ["all", "hook"]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_nifti_file_has_the_label_map_in_patient_coordinates(tmp_path: Path, activation: str) -> None:
    first_channel = 1 if activation == "softmax" else 0
    classes = [phantoms.organ("low", first_channel), phantoms.organ("hook", first_channel + 1)]
    section = phantoms.metadata(
        activation=activation,
        output_channels=3,
        classes=classes,
        grid={"spacing_mm": [1.7, 0.9, 3.1], "orientation": "RAS"},
    )
    phantoms.write_linear_model(
        tmp_path / "m", section, weights=[[0], [-1], [1]] if first_channel else [[-1], [1], [0]], bias=[0] * 3
    )
    study = runs.write_input(tmp_path / "in")

    result = run_clickseg("segment", study, "-o", tmp_path / "out", "-m", tmp_path / "m", "--nifti")

    assert result.returncode == 0, result.stderr
    image = SimpleITK.ReadImage(str(find_only(tmp_path / "out", ".nii.gz")))
    for index in [(2, 2, 3), (11, 13, 15), (5, 3, 3)]:
        point = runs.GEOMETRY.map_indices_to_reference(np.array([index]))[0].tolist()
        is_hook = bool(runs.expected_labels()[index])
        if first_channel:
            assert image[image.TransformPhysicalPointToIndex(point)] == (2 if is_hook else 1)
        else:
            masks = [image[:, :, :, c] for c in range(2)]
            assert [m[m.TransformPhysicalPointToIndex(point)] for m in masks] == [int(not is_hook), int(is_hook)]


def test_a_labelmap_segmentation_is_written_on_request(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")

    run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models, "--segmentation-type", "LABELMAP")

    assert {dcmread(p).get("SegmentationType") for p in (tmp_path / "out").glob("*.dcm")} == {"LABELMAP", None}


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        ([], 1, None),
        (["--engine", "onnx"], 2, "error: engine: expected one of auto, openvino, torch, tensorrt, got 'onnx'"),
        (["--series", "9.9"], 1, "error: no series 9.9 in the input"),
        (["--model", "x"], 1, "error: no model 'x': expected one of thresholder"),
        (["--clicks", "nowhere.json"], 1, "error: nowhere.json: cannot be read: No such file"),
        (["--device", "cuda", "--engine", "openvino"], 1, "error: OpenVINO runs only on the CPU"),
        (["--repair", "magic"], 2, "error: unknown repair 'magic'"),
    ],
)
def test_an_error_is_one_line_and_no_output_is_written(
    tmp_path: Path, models: Path, arguments: list[str], code: int, error: str | None
) -> None:
    study, out = runs.write_input(tmp_path / "in"), tmp_path / "out"
    if error is None:
        sorted((study / "CT").iterdir())[4].unlink()

    result = run_clickseg("segment", study, "-o", out, "-m", models, *arguments)

    assert result.returncode == code
    lines = runs.error_lines(result.stderr)
    assert lines[0].startswith(error or "error: 1 missing slice in 1 place")
    assert len([line for line in lines if line.startswith("error")]) == 1
    assert "Traceback" not in result.stderr
    assert not out.exists()
    assert result.stdout == ""


def test_a_click_outside_the_series_is_an_error(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in", runs.click(99, 0, 0))

    result = run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models)

    assert result.returncode == 1
    assert "is outside the series" in runs.error_lines(result.stderr)[0]
    assert not (tmp_path / "out").exists()


def test_a_rejected_series_does_not_stop_the_other_series(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in", name="good")
    rejected = runs.write_input(tmp_path / "in" / "bad", name="bad") / "CT"
    phantoms.change(rejected, lambda dataset: dataset.__setattr__("RescaleType", "US"))
    phantoms.change(rejected, lambda dataset: dataset.__setattr__("ImageType", ["DERIVED", "PRIMARY"]))

    result = run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models)

    assert result.returncode == 1
    assert runs.error_lines(result.stderr)[0].startswith("error: bad/CT/0001.dcm: RescaleType")
    entries = json.loads((tmp_path / "out" / "report.json").read_text())["series"]
    assert [("error" in entry, "files" in entry) for entry in entries] == [(False, True), (True, False)]
    assert len(list((tmp_path / "out").glob("*.dcm"))) == 2


def test_a_failure_is_written_to_metadata_json_on_request(tmp_path: Path, models: Path) -> None:
    (tmp_path / "in").mkdir()

    run_clickseg("segment", tmp_path / "in", "-o", tmp_path / "out", "-m", models, CLICKSEG_METADATA="1")

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["metadata.json"]
    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert metadata["exception"] == "InputError"
    assert "no DICOM files in the input" in metadata["exception_message"]


def test_metadata_json_can_be_read_by_other_users(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    umask = os.umask(0o022)

    run_clickseg("segment", tmp_path / "in", "-o", tmp_path / "out", CLICKSEG_METADATA="1")
    os.umask(umask)

    assert stat.S_IMODE((tmp_path / "out" / "metadata.json").stat().st_mode) == 0o644


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_run_with_closed_standard_streams_succeeds(tmp_path: Path, models: Path, closed: str) -> None:
    study = runs.write_input(tmp_path / "in")
    command = f"{sys.executable} -m clickseg segment {study} -o {tmp_path / 'out'} -m {models} {closed}"

    success = runs.run_process(["bash", "-c", command])
    failure = runs.run_process(
        ["bash", "-c", f"{sys.executable} -m clickseg segment {tmp_path / 'no'} -o {tmp_path} {closed}"]
    )

    assert (success.returncode, failure.returncode) == (0, 1)
    assert (tmp_path / "out" / "report.json").is_file()


def test_metadata_of_a_failure_is_replaced_when_a_run_succeeds(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metadata.json").write_text('{"exception": "InputError", "exception_message": "no"}')

    result = run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models, CLICKSEG_METADATA="1")

    assert result.returncode == 0
    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert metadata["status"] == "success"
    assert not {"exception", "exception_message"} & set(metadata)


def test_a_metadata_json_of_another_program_is_not_replaced(tmp_path: Path, models: Path) -> None:
    study, target = runs.write_input(tmp_path / "in"), tmp_path / "target"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metadata.json").write_text('{"mine": 1}')
    run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models, CLICKSEG_METADATA="1")
    assert (tmp_path / "out" / "metadata.json").read_text() == '{"mine": 1}'

    target.write_text("content")
    (tmp_path / "out" / "metadata.json").unlink()
    (tmp_path / "out" / "metadata.json").symlink_to(target)
    run_clickseg("segment", tmp_path / "nowhere", "-o", tmp_path / "out", "-m", models, CLICKSEG_METADATA="1")
    assert target.read_text() == "content"
    assert "exception" in json.loads((tmp_path / "out" / "metadata.json").read_text())


def test_control_characters_are_escaped(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in" / "a\nerror: fake\x1b[31m")

    results = [
        run_clickseg("segment", tmp_path / "in", "-o", tmp_path / "out", "-m", models),
        run_clickseg("inspect", study),
    ]

    assert not any(
        "\x1b" in text or "\nerror: fake" in text for result in results for text in (result.stdout, result.stderr)
    )
    assert "a\\nerror: fake\\x1b[31m/CT" in results[0].stderr


def test_a_series_without_the_second_input_of_the_model_is_reported_as_an_error(tmp_path: Path) -> None:
    inputs = [
        {"name": name, "modality": modality, "unit": unit, "scaling": phantoms.RANGE}
        for name, modality, unit in (("ct", "CT", "HU"), ("mr", "MR", ""))
    ]
    section = phantoms.metadata(inputs=inputs)
    phantoms.write_linear_model(tmp_path / "models" / "two", section, weights=[[0, 0], [1, 0]], bias=[0, 0])
    for name, modality in (("a", "CT"), ("a", "MR"), ("b", "CT")):
        runs.write_input(tmp_path / "in" / name, modality=modality, name=name)

    result = run_clickseg("segment", tmp_path / "in", "-o", tmp_path / "out", "-m", tmp_path / "models")

    assert result.returncode == 1
    assert "input mr: expected one MR series" in runs.error_lines(result.stderr)[0]
    entries = json.loads((tmp_path / "out" / "report.json").read_text())["series"]
    assert [("error" in entry, "files" in entry) for entry in entries] == [(False, True), (True, False)]


def test_debug_prints_the_traceback_of_an_error(tmp_path: Path, models: Path) -> None:
    result = run_clickseg("segment", tmp_path / "nowhere", "-o", tmp_path / "out", "-m", models, "--debug")

    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_an_output_folder_below_a_file_is_an_error(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    (tmp_path / "file").touch()

    result = run_clickseg("segment", study, "-o", tmp_path / "file" / "out", "-m", models)

    assert result.returncode == 1
    assert "cannot be written to: Not a directory" in runs.error_lines(result.stderr)[0]


def test_an_output_folder_that_cannot_be_created_is_an_error(tmp_path: Path, models: Path) -> None:
    result = run_clickseg("segment", runs.write_input(tmp_path / "in"), "-o", "/sys/out", "-m", models)

    assert result.returncode == 1
    (line,) = runs.error_lines(result.stderr)
    assert line.startswith("error: /sys/out: cannot be written to")


def test_a_slice_that_is_deleted_during_a_run_is_one_error_and_no_results_are_written(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study, make_plan = runs.write_input(tmp_path / "in"), run.make_plan
    slices = sorted((study / "CT").iterdir())

    def make_plan_and_delete_a_slice(settings: RunSettings) -> RunPlan:
        plan = make_plan(settings)
        slices[3].unlink()
        return plan

    monkeypatch.setattr(run, "make_plan", make_plan_and_delete_a_slice)
    code = main(["segment", str(study), "-o", str(tmp_path / "out"), "-m", str(models)])

    error, hint = runs.error_lines(capsys.readouterr().err)
    assert (code, slices[3].name in error) == (1, True), error
    assert hint == "hint: send the file again"
    assert not list((tmp_path / "out").glob("*.dcm"))


def test_a_series_with_a_missing_slice_is_segmented_after_a_repair(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    sorted((study / "CT").iterdir())[4].unlink()

    result = run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models, "--repair", "resample")

    assert result.returncode == 0, result.stderr
    assert "CT series in CT: resampled from 11 to 12 slices" in result.stderr
    (entry,) = json.loads((tmp_path / "out" / "report.json").read_text())["series"]
    assert entry["inputs"][0]["repairs"] == ["resampled from 11 to 12 slices"]
    seg = dcmread(find_only(tmp_path / "out", ".dcm", "Segmentation"))
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 11


def test_inspect_lists_each_series_and_its_problem(tmp_path: Path) -> None:
    study = runs.write_input(tmp_path / "in", FAR_CLICK)
    runs.write_input(study, modality="MR")
    sorted((study / "MR").iterdir())[3].unlink()

    result = run_clickseg("inspect", study)

    assert result.returncode == 0
    first = next(line.split() for line in result.stdout.splitlines() if line.startswith("CT "))
    assert first == ["CT", "12", "12", "x", "14", "x", "16", "3.1", "x", "1.7", "x", "0.9", "HU", "CT", "Phantom", "CT"]
    assert "problem: 1 missing slice in 1 place: between MR/" in result.stdout
    assert "hint: send the missing slices, or use --repair resample" in result.stdout
    assert "23 DICOM files; ignored: 1 (not DICOM)" in result.stdout


def test_inspect_prints_the_same_problem_of_several_series_once(tmp_path: Path) -> None:
    images = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))
    for number, image in enumerate(images):
        image.SeriesInstanceUID = f"2.25.{1000 + number}"
    phantoms.save(tmp_path, images)

    lines = run_clickseg("inspect", tmp_path).stdout.splitlines()

    assert sum("have 7 different values" in line for line in lines) == 1
    assert sum("hint: " in line for line in lines) == 1
    assert lines.count("    problem: as above") == len(images) - 1


def test_inspect_prints_the_same_as_json(tmp_path: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    runs.write_input(study, modality="MR")
    sorted((study / "MR").iterdir())[3].unlink()

    table = json.loads(run_clickseg("inspect", study, "--json").stdout)
    repaired = json.loads(run_clickseg("inspect", study, "--json", "--repair", "resample, frame-of-reference").stdout)

    ct, mr = table["series"]
    assert (ct["modality"], ct["shape"], ct["spacing_mm"], ct["unit"]) == ("CT", [12, 14, 16], [3.1, 1.7, 0.9], "HU")
    assert ct["problem"] is None
    assert (mr["shape"], "missing slice" in mr["problem"]) == (None, True)
    assert repaired["series"][1]["repairs"] == ["resampled from 11 to 12 slices"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_inspect_lists_damaged_files_and_objects_that_are_not_images(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    run_clickseg("segment", study, "-o", study / "result", "-m", models)
    path = sorted((study / "CT").iterdir())[0]
    path.write_bytes(path.read_bytes()[:500])

    result = run_clickseg("inspect", study)

    assert result.returncode == 0
    assert "damaged: CT/0001.dcm: it ends before" in result.stdout
    assert "problem: no image: Comprehensive 3D SR Storage" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["segment"],
        ["segment", "in"],
        ["segmnt", "in", "-o", "out"],
        ["segment", "in", "-o", "o", "--x"],
        ["segment", "in", "-o", ""],
    ],
)
def test_a_usage_error_has_exit_code_2(arguments: list[str]) -> None:
    assert run_clickseg(*arguments).returncode == 2


def test_an_invalid_source_date_epoch_is_a_usage_error_of_every_command() -> None:
    for arguments in (["demo", "-o", "nowhere"], ["segment", "in", "-o", "nowhere"]):
        result = run_clickseg(*arguments, SOURCE_DATE_EPOCH="abc")
        assert (result.returncode, runs.error_lines(result.stderr)) == (
            2,
            ["error: SOURCE_DATE_EPOCH: expected seconds since 1970, got 'abc'"],
        )


@pytest.mark.slow
def test_a_closed_standard_output_is_not_an_error(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    command = f"{sys.executable} -m clickseg segment {study} -o {tmp_path}/out{{0}} -m {models}"
    codes = [
        runs.run_process(["bash", "-c", f"{command.format(number)} {output}"]).returncode
        for number, output in enumerate((">&-", "> /dev/full", "| true; exit ${PIPESTATUS[0]}"))
    ]

    assert codes == [0, 0, 0]
    assert all((tmp_path / f"out{number}" / "report.json").exists() for number in range(3))


def test_a_demo_that_cannot_be_written_is_one_error_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    result = run_clickseg("demo", "-o", tmp_path / "file")

    assert result.returncode == 1
    assert runs.error_lines(result.stderr)[0].startswith(f"error: {tmp_path / 'file' / 'study'}: cannot be written to")


def test_a_full_disk_is_one_error_line_and_no_output_is_written(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    command = f"{sys.executable} -m clickseg segment {study} -o {tmp_path / 'out'} -m {models}"

    result = runs.run_process(["bash", "-c", f"ulimit -f 2; {command}"])  # limits files to 2 KiB

    assert result.returncode == 1
    (line,) = runs.error_lines(result.stderr)
    assert line.endswith("cannot be written: File too large")
    assert not (tmp_path / "out").exists()


def test_clicks_outside_all_components_are_logged(tmp_path: Path) -> None:
    section = phantoms.metadata(guidance=phantoms.GUIDANCE, postprocessing={"keep": "clicked"})
    phantoms.write_linear_model(
        tmp_path / "models" / "no_click_weights", section, weights=[[0, 0, 0], [1, 0, 0]], bias=[0, 0]
    )
    study = runs.write_input(tmp_path / "in", FAR_CLICK)

    with_click = run_clickseg("segment", study, "-o", tmp_path / "out", "-m", tmp_path / "models")
    without = run_clickseg("segment", study, "-o", tmp_path / "out", "-m", tmp_path / "models", "--clicks", "none")

    assert "1 foreground click of hook is outside every component that the network segmented" in with_click.stderr
    assert (
        "model no_click_weights expects foreground clicks: without them, the result can also contain normal organs"
        in without.stderr
    )


def test_mirroring_can_be_switched_off(tmp_path: Path) -> None:
    model = runs.write_model(tmp_path / "models", mirror_axes=[0, 1, 2])
    study, engines = runs.write_input(tmp_path / "in", FAR_CLICK), []

    for number, options in enumerate([(), ("--mirroring", "off")]):
        out = tmp_path / str(number)
        run_clickseg("segment", study, "-o", out, "-m", model, *options)
        (entry,) = json.loads((out / "report.json").read_text())["series"]
        engines.append(entry["engine"]["mirroring"])
        mask = hd.seg.segread(find_only(out, ".dcm", "Segmentation")).get_volume(combine_segments=True).array
        assert (mask > 0).sum() == runs.expected_labels(FAR_CLICK).sum()  # clicks are flipped with the image

    assert engines == ["0 1 2", "off"]


def test_help_and_version_are_printed() -> None:
    assert run_clickseg("--version").stdout == "clickseg 0.1.0\n"
    text = " ".join(run_clickseg("segment", "--help").stdout.split())
    assert "[CLICKSEG_CLICKS]" in text
    assert run_clickseg("--help").returncode == 0


def test_python_m_clickseg_is_the_same_command() -> None:
    assert runs.run_process(["python", "-m", "clickseg", "--version"]).stdout == "clickseg 0.1.0\n"


def test_the_input_may_be_read_only(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in", FAR_CLICK)
    for path in [study, study / "CT"]:
        path.chmod(stat.S_IRUSR | stat.S_IXUSR)

    result = run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models, cwd=tmp_path)

    for path in [study, study / "CT"]:
        path.chmod(stat.S_IRWXU)
    assert result.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "models", "out"]


def test_a_result_with_only_background_clicks_is_semiautomatic(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in", runs.click(3, 3, 4, polarity=Polarity.BACKGROUND))

    run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models)

    seg = dcmread(find_only(tmp_path / "out", ".dcm", "Segmentation"))
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
