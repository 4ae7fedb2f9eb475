"""Finding DICOM in folders with other files, copies, links and damaged files."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.fileset import FileSet
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from clickseg.clicks.find import read_clicks
from clickseg.core.errors import ClickError, InputError
from clickseg.dicom import part10
from clickseg.dicom.files import scan
from tests.helpers import phantoms

COLOR_PALETTE = "1.2.840.10008.5.1.4.39.1"


@pytest.fixture
def series(tmp_path: Path) -> Path:
    return phantoms.write(
        tmp_path / "in" / "deep" / "er", phantoms.distinct_volume(phantoms.oblique_geometry())
    ).parents[1]


def test_instances_are_found_in_any_folder_under_any_name(series: Path) -> None:
    for number, path in enumerate(sorted(series.rglob("*.dcm"))):
        path.rename(path.with_name(["no_suffix", "a.b.c", "IMG 1.txt", "x.json", "y.jpg", "z.7", "é"][number]))

    scan_result = scan(series)

    assert len(scan_result.instances) == 7
    assert scan_result.ignored == {}
    assert all(instance.name.startswith("deep/er/") for instance in scan_result.instances)


def test_files_that_are_not_dicom_are_ignored_and_counted(series: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("not DICOM either")
    (series / "notes.txt").write_text("not DICOM")
    (series / "empty.dcm").touch()
    (series / "broken.dcm").symlink_to(series / "nowhere")
    (series / "link_out.txt").symlink_to(outside)
    os.mkfifo(series / "pipe")

    scan_result = scan(series)

    assert len(scan_result.instances) == 7
    assert scan_result.ignored == {
        "broken link": 1,
        "empty file": 1,
        "link to a file outside the folder": 1,
        "not DICOM": 1,
        "special file": 1,
    }


def test_a_link_to_dicom_outside_the_folder_is_an_error(series: Path, tmp_path: Path) -> None:
    path = sorted(series.rglob("*.dcm"))[-1]
    path.symlink_to(path.rename(tmp_path / "elsewhere.dcm"))

    with pytest.raises(InputError, match=rf"1 link to DICOM files outside the folder: deep/er/{path.name}") as caught:
        scan(series).check_undamaged()
    assert caught.value.hint == "links are not followed: copy the files to which they refer into the folder"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_are_reported_before_links_out_of_the_folder(series: Path, tmp_path: Path) -> None:
    damaged, linked = sorted(series.rglob("*.dcm"))[:2]
    damaged.write_bytes(damaged.read_bytes()[:400])
    linked.symlink_to(linked.rename(tmp_path / "elsewhere.dcm"))

    with pytest.raises(InputError, match=f"1 damaged DICOM file: deep/er/{damaged.name}: ") as caught:
        scan(series).check_undamaged()
    assert linked.name not in str(caught.value)
    damaged.unlink()
    with pytest.raises(InputError, match=f"1 link to DICOM files outside the folder: deep/er/{linked.name}"):
        scan(series).check_undamaged()


def test_an_object_without_a_series_is_ignored(series: Path) -> None:
    palette = Dataset()
    palette.SOPClassUID, palette.SOPInstanceUID = COLOR_PALETTE, "2.25.1"
    palette.ensure_file_meta()
    palette.file_meta.MediaStorageSOPClassUID = COLOR_PALETTE
    palette.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    palette.save_as(series / "palette.dcm", enforce_file_format=True)

    scan_result = scan(series)

    assert (scan_result.damaged, scan_result.ignored) == ({}, {"DICOM without a series": 1})


def test_a_decompression_bomb_is_rejected(series: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part10, "MAX_INFLATED_BYTES", 1 << 22)
    dataset = dcmread(next(series.rglob("*.dcm")))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.PixelData = bytes(1 << 23)
    dataset.save_as(series / "bomb.dcm")
    dataset.file_meta.add_new(0x00020100, "UI", "1.2.3")
    dataset.file_meta.add_new(0x00020102, "OB", bytes(5000))  # longer than usual meta information
    dataset.save_as(series / "long.dcm")
    (series / "bare.dcm").write_bytes((series / "bomb.dcm").read_bytes()[132:])

    assert (series / "bomb.dcm").stat().st_size < 20_000
    damaged = scan(series).damaged
    assert {name: damaged[name].reason for name in ("bomb.dcm", "long.dcm", "bare.dcm")} == dict.fromkeys(
        ("bomb.dcm", "long.dcm", "bare.dcm"), "it inflates to more than 4194304 bytes"
    )
    with pytest.raises(ClickError, match="inflates to more than"):
        read_clicks(series / "bomb.dcm")


@pytest.mark.parametrize("depth", [50, 20_000])
def test_deeply_nested_sequences_do_not_crash_the_reader(series: Path, depth: int) -> None:
    path = sorted(series.rglob("*.dcm"))[0]
    content = path.read_bytes()
    offset = content.index(b"\xe0\x7f\x10\x00")
    begin = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    path.write_bytes(content[:offset] + begin * depth + end * depth + content[offset:])

    scan_result = scan(series)

    assert len(scan_result.instances) + len(scan_result.damaged) == 7
    assert (len(scan_result.damaged) == 1) == (depth > 1000)


def test_a_link_inside_the_folder_is_ignored_as_a_copy(series: Path) -> None:
    target = next(series.rglob("*.dcm"))
    (series / "link.dcm").symlink_to(target)

    scan_result = scan(series)

    assert len(scan_result.instances) == 7
    assert scan_result.ignored == {"copy of another file": 1}


def test_links_to_folders_are_ignored(series: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("not DICOM")
    os.mkfifo(tmp_path / "notes" / "pipe")
    (series / "twin").symlink_to(series, target_is_directory=True)
    (series / "elsewhere").symlink_to(tmp_path / "notes", target_is_directory=True)

    scan_result = scan(series)

    assert len(scan_result.instances) == 7
    assert scan_result.ignored == {"link to a folder": 2}


def test_a_link_to_a_folder_with_dicom_is_an_error(series: Path, tmp_path: Path) -> None:
    phantoms.write(tmp_path / "elsewhere" / "PET", phantoms.distinct_volume(phantoms.oblique_geometry()), "PT")
    (series / "PET").symlink_to(tmp_path / "elsewhere", target_is_directory=True)

    with pytest.raises(InputError, match="1 link to DICOM files outside the folder: PET"):
        scan(series).check_undamaged()


def test_a_folder_that_cannot_be_listed_is_an_error(series: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny_access(path: str | Path) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", deny_access)

    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        scan(series)


def test_an_input_folder_may_be_a_link(series: Path, tmp_path: Path) -> None:
    link = tmp_path / "study"
    link.symlink_to(series)

    assert len(scan(link).instances) == 7


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")  # pydicom's FileSet
def test_a_dicomdir_is_ignored(series: Path, tmp_path: Path) -> None:
    media = FileSet()
    for path in series.rglob("*.dcm"):
        media.add(path)
    media.write(tmp_path / "media")
    del media
    gc.collect()

    scan_result = scan(tmp_path / "media")

    assert len(scan_result.instances) == 7
    assert scan_result.ignored == {"DICOMDIR": 1}


@pytest.mark.filterwarnings("ignore")  # pydicom warns about the file IDs
@pytest.mark.parametrize("file_id", [["..", "outside", "0000.dcm"], ["", "etc", "passwd"]])
def test_references_of_a_dicomdir_are_not_followed(series: Path, tmp_path: Path, file_id: list[str]) -> None:
    phantoms.write(tmp_path / "outside", phantoms.distinct_volume(phantoms.oblique_geometry()), name="outside")
    media = FileSet()
    media.add(sorted(series.rglob("*.dcm"))[0])
    media.write(tmp_path / "media")
    del media
    gc.collect()
    directory = dcmread(tmp_path / "media" / "DICOMDIR")
    for record in directory.DirectoryRecordSequence:
        if "ReferencedFileID" in record:
            record.ReferencedFileID = file_id
    directory.save_as(tmp_path / "media" / "DICOMDIR")

    scan_result = scan(tmp_path / "media")

    assert [instance.path.is_relative_to(tmp_path / "media") for instance in scan_result.instances] == [True]
    assert scan_result.ignored == {"DICOMDIR": 1}


def test_the_same_instance_with_different_content_is_not_a_copy(series: Path) -> None:
    first = sorted(series.rglob("*.dcm"))[0]
    dataset = dcmread(first)
    dataset.InstanceNumber = 99
    dataset.save_as(series / "other.dcm")

    assert len(scan(series).instances) == 8


def test_a_data_set_without_preamble_is_read(series: Path) -> None:
    path = sorted(series.rglob("*.dcm"))[0]
    dataset = dcmread(path)
    bare = Dataset()
    bare.update(dataset)
    bare.save_as(path, implicit_vr=True, little_endian=True)
    assert path.read_bytes()[128:132] != b"DICM"

    scan_result = scan(series)

    assert len(scan_result.instances) == 7
    assert scan_result.instances[0].header.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"


def test_a_single_file_can_be_scanned(series: Path) -> None:
    path = sorted(series.rglob("*.dcm"))[2]

    scan_result = scan(path)

    assert [instance.name for instance in scan_result.instances] == [path.name]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file or folder: .*nowhere"):
        scan(tmp_path / "nowhere")


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_file_that_is_truncated_in_its_header_is_damaged(series: Path) -> None:
    path = sorted(series.rglob("*.dcm"))[3]
    content = path.read_bytes()
    for length in range(132, len(content) - 11 * 13 * 2 - 12, 3):
        path.write_bytes(content[:length])

        scan_result = scan(series)

        assert (len(scan_result.instances), list(scan_result.damaged)) == (6, [f"deep/er/{path.name}"]), length


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_damaged_files_are_named(series: Path) -> None:
    path = sorted(series.rglob("*.dcm"))[3]
    path.write_bytes(path.read_bytes()[:500])

    scan_result = scan(series)

    with pytest.raises(InputError, match=rf"1 damaged DICOM file: .*{path.name}.*"):
        scan_result.check_undamaged()


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_damage_after_the_series_uid_affects_only_that_series(series: Path) -> None:
    path = sorted(series.rglob("*.dcm"))[3]
    uid = dcmread(path).SeriesInstanceUID
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(uid.encode()) + 100])

    scan_result = scan(series)

    assert [damage.series_uid for damage in scan_result.damaged.values()] == [uid]
    scan_result.check_undamaged()
    scan_result.check_series_undamaged("another")
    with pytest.raises(InputError, match=path.name):
        scan_result.check_series_undamaged(uid)


def test_an_unreadable_file_is_an_error(series: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    path = sorted(series.rglob("*.dcm"))[3]
    path.chmod(0)

    with pytest.raises(InputError, match=f"{path.name}: cannot be read"):
        scan(series)
