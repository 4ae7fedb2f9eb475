"""``make compare-results``: results of two versions are identical, identical except UIDs, or different."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    BasicTextSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SegmentationStorage,
)

from scripts.compare_results import main
from scripts.result_differences import FileComparison, Verdict, compare_results

NAMES = ("series 1 preview", "series 1 seg", "series 1 sr", "report")
SOURCE_UID = "1.2.826.0.1.3680043.8.498.1"


def make_dataset(sop_class: str, uid: str, series_uid: str, **elements: object) -> Dataset:
    dataset = make_item(**elements)
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = SOURCE_UID, series_uid
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def make_item(**elements: object) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def write_results(folder: Path, uid_prefix: str) -> Path:
    """Writes a SEG, an SR that refers to it and to an image, a preview and a report.

    Args:
        folder: The output folder.
        uid_prefix: The beginning of each UID that the run makes.
    """
    folder.mkdir()
    seg, sr = f"{uid_prefix}.1", f"{uid_prefix}.20"
    segment = make_item(SegmentLabel="lesion", TrackingUID=f"{uid_prefix}.3")
    references = [make_item(ReferencedSOPInstanceUID=uid) for uid in (seg, f"{SOURCE_UID}.7")]
    pixels = {"BitsAllocated": 8, "PixelData": b"\x01\x02"}
    datasets = (
        make_dataset(SegmentationStorage, seg, f"{uid_prefix}.4", SegmentSequence=[segment], **pixels),
        make_dataset(ComprehensiveSRStorage, sr, f"{uid_prefix}.5", ReferencedSOPSequence=references),
    )
    for dataset in datasets:
        dataset.save_as(folder / f"{dataset.SOPInstanceUID}.dcm", enforce_file_format=True)
    (folder / f"{seg}.png").write_bytes(b"picture")
    files = {"seg": f"{seg}.dcm", "sr": f"{sr}.dcm", "preview": f"{seg}.png"}
    entry = {"seconds": {"inference": 1.0}, "files": files, "segments": [{"volume_ml": 1.5}], "repairs": []}
    (folder / "report.json").write_text(json.dumps({"series": [entry], "peak_memory_mb": 200}))
    return folder


def change_dicom(path: Path, **elements: object) -> None:
    dataset = dcmread(path)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)


def change_report(folder: Path, key: str, value: object) -> None:
    report = json.loads((folder / "report.json").read_text())
    report["series"][0][key] = value
    (folder / "report.json").write_text(json.dumps({**report, "peak_memory_mb": 300}))


def verdicts(old: Path, new: Path) -> dict[str, Verdict]:
    return {file.name: file.verdict for file in compare_results(old, new)}


def find_different(old: Path, new: Path) -> list[FileComparison]:
    return [file for file in compare_results(old, new) if file.verdict is Verdict.DIFFERENT]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write_results(tmp_path / "old", "2.25.1234")


@pytest.fixture
def same(tmp_path: Path) -> Path:
    return write_results(tmp_path / "same", "2.25.1234")


@pytest.fixture
def renamed(tmp_path: Path) -> Path:
    """Results with UIDs of another length, which sort in reverse order."""
    return write_results(tmp_path / "renamed", "2.25.99999999")


def test_equal_bytes_are_identical_even_if_run_time_and_memory_differ(old: Path, same: Path) -> None:
    change_report(same, "seconds", {"inference": 2.5, "writing": 0.1})

    assert verdicts(old, same) == dict.fromkeys(NAMES, Verdict.IDENTICAL)


def test_results_with_other_new_uids_are_identical_except_uids(old: Path, renamed: Path) -> None:
    assert verdicts(old, renamed) == dict.fromkeys(NAMES, Verdict.UIDS_DIFFER)
    assert all(file.differences == () for file in compare_results(old, renamed))


def test_a_differing_value_is_named_by_its_tag_path(old: Path, renamed: Path) -> None:
    segment = make_item(SegmentLabel="tumour", TrackingUID="2.25.99999999.3", SegmentNumber=1)
    change_dicom(renamed / "2.25.99999999.1.dcm", SegmentSequence=[segment])

    (seg,) = find_different(old, renamed)

    assert seg.name == "series 1 seg"
    assert seg.differences == (
        "(0062,0002)[0].(0062,0005) SegmentLabel: LO 'lesion' -> LO 'tumour'",
        "(0062,0002)[0].(0062,0004) SegmentNumber: only in NEW: US 1",
    )


def test_differing_pixels_are_different(old: Path, renamed: Path) -> None:
    change_dicom(renamed / "2.25.99999999.1.dcm", PixelData=b"\x01\x03")

    (seg,) = find_different(old, renamed)

    assert [line.partition(":")[0] for line in seg.differences] == ["(7FE0,0010) PixelData"]


def test_a_reference_to_another_object_is_different(old: Path, renamed: Path) -> None:
    references = [make_item(ReferencedSOPInstanceUID=uid) for uid in ("2.25.99999999.20", f"{SOURCE_UID}.7")]
    change_dicom(renamed / "2.25.99999999.20.dcm", ReferencedSOPSequence=references)

    (sr,) = find_different(old, renamed)

    assert sr.differences == ("(0008,1199)[0].(0008,1155) ReferencedSOPInstanceUID: UID 1 -> UID 4",)


@pytest.mark.parametrize(
    ("elements", "path"),
    [
        ({"SOPClassUID": BasicTextSRStorage}, "(0008,0016) SOPClassUID"),
        ({"StudyInstanceUID": f"{SOURCE_UID}.7"}, "(0020,000D) StudyInstanceUID"),
    ],
    ids=["registered", "source"],
)
def test_registered_uids_and_uids_of_the_source_are_compared_unchanged(
    old: Path, renamed: Path, elements: dict[str, str], path: str
) -> None:
    change_dicom(renamed / "2.25.99999999.20.dcm", **elements)

    (sr,) = find_different(old, renamed)

    assert path in [line.partition(":")[0] for line in sr.differences]


def test_equal_values_with_another_encoding_are_different(old: Path, same: Path) -> None:
    path = same / "2.25.1234.1.dcm"
    dataset = dcmread(path)
    dataset["SegmentSequence"].is_undefined_length = True
    dataset.save_as(path)
    implicit = dcmread(same / "2.25.1234.20.dcm")
    implicit.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    implicit.save_as(same / "2.25.1234.20.dcm", implicit_vr=True, little_endian=True)

    differences = {file.name: file.differences for file in find_different(old, same)}

    assert differences == {
        "series 1 seg": ("(0062,0002) SegmentSequence: 1 items -> 1 items, of undefined length",),
        "series 1 sr": ("(0002,0010) TransferSyntaxUID: 1.2.840.10008.1.2.1 -> 1.2.840.10008.1.2",),
    }


def test_a_differing_picture_is_different(old: Path, renamed: Path) -> None:
    (renamed / "2.25.99999999.1.png").write_bytes(b"another")

    assert [file.name for file in find_different(old, renamed)] == ["series 1 preview"]


def test_a_differing_value_of_the_report_is_named_by_its_path(old: Path, renamed: Path) -> None:
    change_report(renamed, "segments", [{"volume_ml": 1.6}])

    (report,) = find_different(old, renamed)

    assert report.differences == ("series[0].segments[0].volume_ml: 1.5 -> 1.6",)


def test_a_file_that_only_one_folder_contains_is_different(old: Path, same: Path) -> None:
    (old / "notes.txt").write_text("more")
    (same / "metadata.json").write_text("{}")

    assert {file.name: file.differences for file in find_different(old, same)} == {
        "notes.txt": ("only in OLD",),
        "metadata.json": ("only in NEW",),
    }


PROGRAM = """
import json, os, shutil, sys
from pathlib import Path
from clickseg import UID, VOLUME_ML

command, study = sys.argv[1:3]
out = Path(sys.argv[sys.argv.index("-o") + 1])
out.mkdir(parents=True)
if command == "segment":
    assert Path(sys.argv[sys.argv.index("-m") + 1], "here").is_file()
    assert "CLICKSEG_DEVICE" not in os.environ
    shutil.copy(Path(__file__).with_name("sr.dcm"), out / f"{UID}.dcm")
    entry = {"files": {"sr": f"{UID}.dcm"}, "volume_ml": VOLUME_ML, "created": os.environ["SOURCE_DATE_EPOCH"]}
    (out / "report.json").write_text(json.dumps({"series": [entry]}))
else:
    (out / "study").mkdir()
"""


def write_version(folder: Path, uid: str, volume_ml: float) -> None:
    """Writes a ``clickseg`` whose results are an SR with the given UID, and a report with the volume."""
    for name in ("clickseg", "models"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "models" / "here").touch()
    (folder / "clickseg" / "__init__.py").write_text(f"UID, VOLUME_ML = {uid!r}, {volume_ml}\n")
    (folder / "clickseg" / "__main__.py").write_text(PROGRAM)
    sr = make_dataset(ComprehensiveSRStorage, uid, f"{uid}.1")
    sr.save_as(folder / "clickseg" / "sr.dcm", enforce_file_format=True)


def run_git(*arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    program = shutil.which("git")
    assert program
    subprocess.run([program, *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository, which is the current folder; its tag ``first`` and its working tree are the same version."""
    folder = tmp_path / "repository"
    write_version(folder, "2.25.1", 1.5)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CLICKSEG_DEVICE", "no setting of this machine")
    monkeypatch.setenv("CLICKSEG_TEST_DATA", str(tmp_path / "none"))
    for name in (
        "COVERAGE_PROCESS_CONFIG",
        "COVERAGE_PROCESS_START",
    ):  # coverage would measure this package as the real one
        monkeypatch.delenv(name, raising=False)
    run_git("init")
    run_git("add", ".")
    run_git("commit", "-m", "First")
    run_git("tag", "first")
    return folder


def test_a_revision_and_a_folder_run_their_own_code(
    repository: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["first", "."]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "demo: series 1 sr: identical",
        "demo: report: identical",
        f"pet_raw_sts001: skipped: no folder {tmp_path}/none/fixtures/pet_raw_sts001/FDG_PET/image: "
        "set CLICKSEG_TEST_DATA",
        "first and .: identical",
    ]

    write_version(repository, "2.25.1", 1.75)

    assert main(["first", "."]) == 1
    assert "  series[0].volume_ml: 1.5 -> 1.75\n" in capsys.readouterr().out
    assert main(["first", "HEAD"]) == 0


def test_real_pet_is_segmented_without_and_with_a_click(
    repository: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "data" / "fixtures" / "pet_raw_sts001" / "FDG_PET" / "image").mkdir(parents=True)

    assert main(["first", ".", "--data", str(tmp_path / "data")]) == 0

    names = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()[:-1]]
    assert list(dict.fromkeys(names)) == ["demo", "pet_raw_sts001", "pet_raw_sts001, one click"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nowhere", ".", "error: nowhere: expected a folder or a git revision: "),
        ("first", "clickseg", "error: clickseg: expected a checkout of ClickSeg, but it contains no folder clickseg"),
    ],
)
def test_an_unknown_version_gives_one_error(
    repository: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    assert main([old, new]) == 2
    assert capsys.readouterr().err.startswith(message)


def test_a_folder_from_which_python_does_not_import_clickseg_is_an_error(
    repository: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("clickseg", "models"):
        (tmp_path / "hollow" / name).mkdir(parents=True)

    assert main(["first", str(tmp_path / "hollow")]) == 2
    assert f"expected clickseg to be imported from {tmp_path / 'hollow'}, got " in capsys.readouterr().err


def test_a_failing_run_is_an_error_with_its_messages(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "clickseg" / "__main__.py").write_text("raise SystemExit('no such command')")

    assert main(["first", "."]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: .: -m clickseg segment ")
    assert errors.endswith("exit code 1\nno such command\n\n")


def test_a_comparison_that_allows_new_uids_passes_if_only_uids_differ(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_version(repository, "2.25.2", 1.5)

    assert main(["first", "."]) == 1
    assert main(["first", ".", "--uids", "may-differ"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "first and .: identical except UIDs"

    write_version(repository, "2.25.2", 1.75)

    assert main(["first", ".", "--uids", "may-differ"]) == 1
