"""The ``clickseg`` command, as a user types it."""

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
from clickseg.batch.plan import Plan
from clickseg.batch.settings import RunSettings
from clickseg.cli.main import main
from clickseg.clicks.click import Polarity
from tests.helpers import phantoms, runs
from tests.helpers.dicom_results import violations
from tests.helpers.runs import clickseg

FAR = runs.click(9, 11, 13)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return runs.write_model(tmp_path / "models")


def only(folder: Path, suffix: str, sop_class: str = "") -> Path:
    (path,) = (
        path
        for path in folder.glob(f"*{suffix}")
        if not sop_class or dcmread(path).SOPClassUID.name.startswith(sop_class)
    )
    return path


def test_segment_writes_seg_sr_preview_and_report(tmp_path: Path, models: Path, dciodvfy: str) -> None:
    study, out = runs.write_input(tmp_path / "in", FAR), tmp_path / "out"

    ended = runs.command("segment", study, "-o", out, "-m", models, "--precision", "f32")

    assert (ended.returncode, ended.stderr) == (
        0,
        "CT series in CT: model thresholder, 1 click of clicks.json (1 foreground)\n",
    )
    seg, report = only(out, ".dcm", "Segmentation"), only(out, ".dcm", "Comprehensive 3D SR")
    assert sorted(path.suffix for path in out.iterdir()) == [".dcm", ".dcm", ".json", ".png"]
    assert [path.stem for path in out.glob("*.dcm")] == [str(dcmread(p).SOPInstanceUID) for p in out.glob("*.dcm")]
    with Image.open(seg.with_suffix(".png")) as picture:
        assert picture.height > 300
    assert violations(seg, dciodvfy) == []
    assert violations(report, dciodvfy) == []
    assert f"seg      {seg}" in ended.stdout
    series = phantoms.read(study / "CT")
    sources = [plane.instance.text("SOPInstanceUID") for plane in series.stack.planes]
    pixels = hd.seg.segread(seg).get_pixels_by_source_instance(
        sources, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(pixels[..., 0] > 0, runs.expected(FAR))
    assert dcmread(seg).SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"


def test_the_report_says_what_was_done(tmp_path: Path, models: Path) -> None:
    study, out = runs.write_input(tmp_path / "in", FAR), tmp_path / "out"
    runs.write_input(study, modality="MR")

    clickseg("segment", study, "-o", out, "-m", models, "--statistics", "--precision", "f32")

    report = json.loads((out / "report.json").read_text())
    (entry,) = report["series"]
    assert report["created"] == "2023-11-14T22:13:20+00:00"
    assert report["model"] == {"name": "thresholder", "version": "1.2.3"}
    assert set(entry["seconds"]) == {"reading", "preprocessing", "inference", "postprocessing", "writing"}
    (segment,) = entry["segments"]
    voxels = runs.expected(FAR).sum()
    assert segment["volume_ml"] == pytest.approx(voxels * runs.GEOMETRY.voxel_volume / 1000, abs=1e-4)
    values = phantoms.hook(runs.GEOMETRY, 500, -700).array[runs.expected(FAR)]
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
    assert entry["windows"]["count"] > entry["windows"]["repeated"] > 0  # the CT is as empty as air around its hook
    assert all((out / name).is_file() for name in entry["files"].values())
    (passed_over,) = report["passed_over"]["series"]
    assert passed_over["modality"] == "MR"
    assert str(tmp_path) not in (out / "report.json").read_text()


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in", FAR)

    for name in ("a", "b"):
        clickseg("segment", study, "-o", tmp_path / name, "-m", models)

    assert runs.written(tmp_path / "a") == runs.written(tmp_path / "b")


def test_clicks_can_be_named_or_left_aside(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in", FAR)

    ended = clickseg("segment", study, "-o", tmp_path / "a", "-m", models, "--clicks", "none")
    clickseg("segment", study, "-o", tmp_path / "b", "-m", models, CLICKSEG_CLICKS="none")

    assert "passed over: the clicks of clicks.json" in ended.stderr
    assert dcmread(only(tmp_path / "a", ".dcm", "Segmentation")).SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    assert runs.written(tmp_path / "a") == runs.written(tmp_path / "b")


def test_an_empty_result_is_valid(tmp_path: Path, models: Path, dciodvfy: str) -> None:
    phantoms.write(tmp_path / "in", phantoms.hook(runs.GEOMETRY, -500, -700))
    out = tmp_path / "out"

    ended = clickseg("segment", tmp_path / "in", "-o", out, "-m", models)

    assert ended.returncode == 0
    assert "nothing was found" in ended.stdout
    assert violations(only(out, ".dcm"), dciodvfy) == []
    assert json.loads((out / "report.json").read_text())["series"][0]["segments"] == []


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_nifti_holds_the_label_map_in_its_place(tmp_path: Path, activation: str) -> None:
    first = 1 if activation == "softmax" else 0
    classes = [phantoms.organ("low", first), phantoms.organ("hook", first + 1)]
    section = phantoms.metadata(
        activation=activation,
        output_channels=3,
        classes=classes,
        grid={"spacing_mm": [1.7, 0.9, 3.1], "orientation": "RAS"},
    )
    phantoms.linear_model(
        tmp_path / "m", section, weights=[[0], [-1], [1]] if first else [[-1], [1], [0]], bias=[0] * 3
    )
    study = runs.write_input(tmp_path / "in")

    ended = clickseg("segment", study, "-o", tmp_path / "out", "-m", tmp_path / "m", "--nifti")

    assert ended.returncode == 0, ended.stderr
    image = SimpleITK.ReadImage(str(only(tmp_path / "out", ".nii.gz")))
    for index in [(2, 2, 3), (11, 13, 15), (5, 3, 3)]:
        point = runs.GEOMETRY.map_indices_to_reference(np.array([index]))[0].tolist()
        is_hook = bool(runs.expected()[index])
        if first:
            assert image[image.TransformPhysicalPointToIndex(point)] == (2 if is_hook else 1)
        else:
            masks = [image[:, :, :, c] for c in range(2)]
            assert [m[m.TransformPhysicalPointToIndex(point)] for m in masks] == [int(not is_hook), int(is_hook)]


def test_a_labelmap_segmentation_is_written_on_request(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")

    clickseg("segment", study, "-o", tmp_path / "out", "-m", models, "--segmentation-type", "LABELMAP")

    assert {dcmread(p).get("SegmentationType") for p in (tmp_path / "out").glob("*.dcm")} == {"LABELMAP", None}


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        ([], 1, None),
        (["--engine", "onnx"], 2, "error: engine: expected auto, openvino, torch, tensorrt, got 'onnx'"),
        (["--series", "9.9"], 1, "error: no series 9.9 in the input"),
        (["--model", "x"], 1, "error: no model 'x': expected one of thresholder"),
        (["--clicks", "nowhere.json"], 1, "error: nowhere.json: cannot be read: No such file"),
        (["--device", "cuda", "--engine", "openvino"], 1, "error: OpenVINO runs on the CPU here"),
        (["--remedy", "magic"], 2, "error: unknown remedy 'magic'"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(
    tmp_path: Path, models: Path, arguments: list[str], code: int, error: str | None
) -> None:
    study, out = runs.write_input(tmp_path / "in"), tmp_path / "out"
    if error is None:
        sorted((study / "CT").iterdir())[4].unlink()

    ended = clickseg("segment", study, "-o", out, "-m", models, *arguments)

    assert ended.returncode == code
    lines = runs.error_lines(ended.stderr)
    assert lines[0].startswith(error or "error: 1 missing slice in 1 place")
    assert len([line for line in lines if line.startswith("error")]) == 1
    assert "Traceback" not in ended.stderr
    assert not out.exists()
    assert ended.stdout == ""


def test_a_click_outside_is_an_error_and_not_a_result(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in", runs.click(99, 0, 0))

    ended = clickseg("segment", study, "-o", tmp_path / "out", "-m", models)

    assert ended.returncode == 1
    assert "lies outside the series" in runs.error_lines(ended.stderr)[0]
    assert not (tmp_path / "out").exists()


def test_one_failed_series_does_not_take_the_others_along(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in", name="good")
    bad = runs.write_input(tmp_path / "in" / "bad", name="bad") / "CT"
    phantoms.change(bad, lambda dataset: dataset.__setattr__("RescaleType", "US"))
    phantoms.change(bad, lambda dataset: dataset.__setattr__("ImageType", ["DERIVED", "PRIMARY"]))

    ended = clickseg("segment", study, "-o", tmp_path / "out", "-m", models)

    assert ended.returncode == 1
    assert runs.error_lines(ended.stderr)[0].startswith("error: bad/CT/0001.dcm: RescaleType")
    entries = json.loads((tmp_path / "out" / "report.json").read_text())["series"]
    assert [("error" in entry, "files" in entry) for entry in entries] == [(False, True), (True, False)]
    assert len(list((tmp_path / "out").glob("*.dcm"))) == 2


def test_a_failure_leaves_a_note_for_argo_where_it_is_asked_for(tmp_path: Path, models: Path) -> None:
    (tmp_path / "in").mkdir()

    clickseg("segment", tmp_path / "in", "-o", tmp_path / "out", "-m", models, CLICKSEG_METADATA="1")

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["metadata.json"]
    note = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert note["exception"] == "InputError"
    assert "no CT, MR or PET series" in note["exception_message"]


def test_a_note_can_be_read_by_other_users_and_is_whole(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    umask = os.umask(0o022)

    clickseg("segment", tmp_path / "in", "-o", tmp_path / "out", CLICKSEG_METADATA="1")
    os.umask(umask)

    assert stat.S_IMODE((tmp_path / "out" / "metadata.json").stat().st_mode) == 0o644


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_run_with_closed_streams_is_a_run(tmp_path: Path, models: Path, closed: str) -> None:
    study = runs.write_input(tmp_path / "in")
    command = f"{sys.executable} -m clickseg segment {study} -o {tmp_path / 'out'} -m {models} {closed}"

    good = runs.process(["bash", "-c", command])
    bad = runs.process(["bash", "-c", f"{sys.executable} -m clickseg segment {tmp_path / 'no'} -o {tmp_path} {closed}"])

    assert (good.returncode, bad.returncode) == (0, 1)
    assert (tmp_path / "out" / "report.json").is_file()


def test_a_note_of_a_failure_goes_when_a_run_succeeds(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metadata.json").write_text('{"exception": "InputError", "exception_message": "no"}')

    ended = clickseg("segment", study, "-o", tmp_path / "out", "-m", models, CLICKSEG_METADATA="1")

    assert ended.returncode == 0
    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert metadata["status"] == "success"
    assert not {"exception", "exception_message"} & set(metadata)


def test_a_note_that_is_not_ours_is_not_touched(tmp_path: Path, models: Path) -> None:
    study, precious = runs.write_input(tmp_path / "in"), tmp_path / "precious"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metadata.json").write_text('{"mine": 1}')
    clickseg("segment", study, "-o", tmp_path / "out", "-m", models, CLICKSEG_METADATA="1")
    assert (tmp_path / "out" / "metadata.json").read_text() == '{"mine": 1}'

    precious.write_text("precious")
    (tmp_path / "out" / "metadata.json").unlink()
    (tmp_path / "out" / "metadata.json").symlink_to(precious)
    clickseg("segment", tmp_path / "nowhere", "-o", tmp_path / "out", "-m", models, CLICKSEG_METADATA="1")
    assert precious.read_text() == "precious"
    assert "exception" in json.loads((tmp_path / "out" / "metadata.json").read_text())


def test_what_would_command_a_terminal_is_escaped(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in" / "a\nerror: fake\x1b[31m")

    ended = [clickseg("segment", tmp_path / "in", "-o", tmp_path / "out", "-m", models), clickseg("inspect", study)]

    assert not any("\x1b" in text or "\nerror: fake" in text for each in ended for text in (each.stdout, each.stderr))
    assert "a\\nerror: fake\\x1b[31m/CT" in ended[0].stderr


def test_a_series_that_lacks_an_input_of_the_model_has_an_entry_with_its_error(tmp_path: Path) -> None:
    inputs = [
        {"name": name, "modality": modality, "unit": unit, "scaling": phantoms.RANGE}
        for name, modality, unit in (("ct", "CT", "HU"), ("mr", "MR", ""))
    ]
    section = phantoms.metadata(inputs=inputs)
    phantoms.linear_model(tmp_path / "models" / "two", section, weights=[[0, 0], [1, 0]], bias=[0, 0])
    for name, modality in (("a", "CT"), ("a", "MR"), ("b", "CT")):
        runs.write_input(tmp_path / "in" / name, modality=modality, name=name)

    ended = clickseg("segment", tmp_path / "in", "-o", tmp_path / "out", "-m", tmp_path / "models")

    assert ended.returncode == 1
    assert "input mr: expected one MR series" in runs.error_lines(ended.stderr)[0]
    entries = json.loads((tmp_path / "out" / "report.json").read_text())["series"]
    assert [("error" in entry, "files" in entry) for entry in entries] == [(False, True), (True, False)]


def test_debug_shows_where_an_error_was_raised(tmp_path: Path, models: Path) -> None:
    ended = clickseg("segment", tmp_path / "nowhere", "-o", tmp_path / "out", "-m", models, "--debug")

    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    (tmp_path / "file").touch()

    ended = clickseg("segment", study, "-o", tmp_path / "file" / "out", "-m", models)

    assert ended.returncode == 1
    assert "cannot be written to: Not a directory" in runs.error_lines(ended.stderr)[0]


def test_a_folder_that_even_root_cannot_write_to_is_an_error(tmp_path: Path, models: Path) -> None:
    ended = clickseg("segment", runs.write_input(tmp_path / "in"), "-o", "/sys/out", "-m", models)

    assert ended.returncode == 1
    (line,) = runs.error_lines(ended.stderr)
    assert line.startswith("error: /sys/out: cannot be written to")


def test_a_slice_that_vanishes_while_it_is_run_is_one_error_and_leaves_nothing(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study, planned = runs.write_input(tmp_path / "in"), run.make_plan
    slices = sorted((study / "CT").iterdir())

    def plan_and_lose_a_slice(settings: RunSettings) -> Plan:
        plan = planned(settings)
        slices[3].unlink()
        return plan

    monkeypatch.setattr(run, "make_plan", plan_and_lose_a_slice)
    code = main(["segment", str(study), "-o", str(tmp_path / "out"), "-m", str(models)])

    (line,) = runs.error_lines(capsys.readouterr().err)
    assert (code, slices[3].name in line) == (1, True), line
    assert not list((tmp_path / "out").glob("*.dcm"))


def test_a_series_with_a_missing_slice_is_segmented_when_asked_for(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    sorted((study / "CT").iterdir())[4].unlink()

    ended = clickseg("segment", study, "-o", tmp_path / "out", "-m", models, "--remedy", "resample")

    assert ended.returncode == 0, ended.stderr
    assert "CT series in CT: resampled from 11 to 12 slices" in ended.stderr
    (entry,) = json.loads((tmp_path / "out" / "report.json").read_text())["series"]
    assert entry["input"][0]["remedies"] == ["resampled from 11 to 12 slices"]
    seg = dcmread(only(tmp_path / "out", ".dcm", "Segmentation"))
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 11


def test_inspect_shows_each_series_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    study = runs.write_input(tmp_path / "in", FAR)
    runs.write_input(study, modality="MR")
    sorted((study / "MR").iterdir())[3].unlink()

    ended = clickseg("inspect", study)

    assert ended.returncode == 0
    first = next(line.split() for line in ended.stdout.splitlines() if line.startswith("CT "))
    assert first == ["CT", "12", "12", "x", "14", "x", "16", "3.1", "x", "1.7", "x", "0.9", "HU", "CT", "Phantom", "CT"]
    assert "problem: 1 missing slice in 1 place: between MR/" in ended.stdout
    assert "hint: send the missing slices, or --remedy resample" in ended.stdout
    assert "23 DICOM files; passed over: 1 not DICOM" in ended.stdout


def test_inspect_tells_machines_the_same(tmp_path: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    runs.write_input(study, modality="MR")
    sorted((study / "MR").iterdir())[3].unlink()

    table = json.loads(clickseg("inspect", study, "--json").stdout)
    remedied = json.loads(clickseg("inspect", study, "--json", "--remedy", "resample").stdout)

    ct, mr = table["series"]
    assert (ct["modality"], ct["shape"], ct["spacing_mm"], ct["unit"]) == ("CT", [12, 14, 16], [3.1, 1.7, 0.9], "HU")
    assert ct["problem"] is None
    assert (mr["shape"], "missing slice" in mr["problem"]) == (None, True)
    assert remedied["series"][1]["remedies"] == ["resampled from 11 to 12 slices"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_inspect_shows_damaged_files_and_other_objects(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    clickseg("segment", study, "-o", study / "result", "-m", models)
    path = sorted((study / "CT").iterdir())[0]
    path.write_bytes(path.read_bytes()[:500])

    ended = clickseg("inspect", study)

    assert ended.returncode == 0
    assert "damaged: CT/0001.dcm: it ends before" in ended.stdout
    assert "problem: no image: Comprehensive 3D SR Storage" in ended.stdout


def test_models_are_listed(tmp_path: Path, models: Path) -> None:
    ended = clickseg("models", "-m", models)

    assert ended.stdout == f"thresholder 1.2.3: CT -> hook ({models / 'thresholder'})\n"
    shipped = clickseg("models").stdout
    assert "lesion 0.1.0: PT or CT or MR -> lesion or tumor" in shipped
    assert "pet_lesion 0.2.0: PT -> lesion or tumor" in shipped


def test_a_damaged_model_does_not_hide_the_others(tmp_path: Path, models: Path) -> None:
    (models / "a" / "configs").mkdir(parents=True)
    (models / "a" / "configs" / "metadata.json").write_text("{")

    ended = clickseg("models", "-m", models)

    assert (ended.returncode, ended.stdout.startswith("thresholder 1.2.3")) == (1, True)
    assert runs.error_lines(ended.stderr)[0].startswith("error: model a: metadata.json: not JSON")


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
def test_wrong_use_is_exit_code_2(arguments: list[str]) -> None:
    assert clickseg(*arguments).returncode == 2


def test_a_clock_that_is_none_is_wrong_use_at_every_door() -> None:
    for arguments in (["demo", "-o", "nowhere"], ["segment", "in", "-o", "nowhere"]):
        ended = clickseg(*arguments, SOURCE_DATE_EPOCH="abc")
        assert (ended.returncode, runs.error_lines(ended.stderr)) == (
            2,
            ["error: SOURCE_DATE_EPOCH: expected seconds since 1970, got 'abc'"],
        )


@pytest.mark.slow
def test_a_reader_that_stops_listening_is_no_error(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    command = f"{sys.executable} -m clickseg segment {study} -o {tmp_path}/out{{0}} -m {models}"
    codes = [
        runs.process(["bash", "-c", f"{command.format(number)} {end}"]).returncode
        for number, end in enumerate((">&-", "> /dev/full", "| true; exit ${PIPESTATUS[0]}"))
    ]

    assert codes == [0, 0, 0]
    assert all((tmp_path / f"out{number}" / "report.json").exists() for number in range(3))


def test_a_demo_that_cannot_be_written_is_one_error_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = clickseg("demo", "-o", tmp_path / "file")

    assert ended.returncode == 1
    assert runs.error_lines(ended.stderr)[0].startswith(f"error: {tmp_path / 'file' / 'study'}: cannot be written to")


def test_a_full_disk_is_one_error_line_and_leaves_nothing(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in")
    command = f"{sys.executable} -m clickseg segment {study} -o {tmp_path / 'out'} -m {models}"

    ended = runs.process(["bash", "-c", f"ulimit -f 2; {command}"])  # files of 2 KiB at most

    assert ended.returncode == 1
    (line,) = runs.error_lines(ended.stderr)
    assert line.endswith("cannot be written: File too large")
    assert not (tmp_path / "out").exists()


def test_clicks_that_hit_nothing_are_said(tmp_path: Path) -> None:
    section = phantoms.metadata(guidance=phantoms.GUIDANCE, postprocessing={"keep": "clicked"})
    phantoms.linear_model(tmp_path / "models" / "deaf", section, weights=[[0, 0, 0], [1, 0, 0]], bias=[0, 0])
    study = runs.write_input(tmp_path / "in", FAR)

    with_click = clickseg("segment", study, "-o", tmp_path / "out", "-m", tmp_path / "models")
    without = clickseg("segment", study, "-o", tmp_path / "out", "-m", tmp_path / "models", "--clicks", "none")

    assert "1 foreground click of hook lies in nothing that the network found" in with_click.stderr
    assert "model deaf is made for foreground clicks: without any it paints organs too" in without.stderr


def test_help_and_version_are_there() -> None:
    assert clickseg("--version").stdout == "clickseg 0.1.0\n"
    text = " ".join(clickseg("segment", "--help").stdout.split())
    assert "[CLICKSEG_CLICKS]" in text
    assert clickseg("--help").returncode == 0


def test_python_dash_m_is_the_same_command() -> None:
    assert runs.process(["python", "-m", "clickseg", "--version"]).stdout == "clickseg 0.1.0\n"


def test_a_read_only_input_is_enough(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in", FAR)
    for path in [study, study / "CT"]:
        path.chmod(stat.S_IRUSR | stat.S_IXUSR)

    ended = clickseg("segment", study, "-o", tmp_path / "out", "-m", models, cwd=tmp_path)

    for path in [study, study / "CT"]:
        path.chmod(stat.S_IRWXU)
    assert ended.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "models", "out"]


def test_background_clicks_alone_are_clicks(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in", runs.click(3, 3, 4, polarity=Polarity.BACKGROUND))

    clickseg("segment", study, "-o", tmp_path / "out", "-m", models)

    seg = dcmread(only(tmp_path / "out", ".dcm", "Segmentation"))
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
