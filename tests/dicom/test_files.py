"""Finding DICOM in folders as people and machines leave them."""

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
    return phantoms.write(tmp_path / "in" / "deep" / "er", phantoms.distinct(phantoms.oblique_geometry())).parents[1]


def test_instances_are_found_in_any_folder_under_any_name(series: Path) -> None:
    for number, path in enumerate(sorted(series.rglob("*.dcm"))):
        path.rename(path.with_name(["no_suffix", "a.b.c", "IMG 1.txt", "x.json", "y.jpg", "z.7", "é"][number]))

    found = scan(series)

    assert len(found.instances) == 7
    assert found.passed_over == {}
    assert all(instance.name.startswith("deep/er/") for instance in found.instances)


def test_what_is_no_dicom_is_passed_over_and_counted(series: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("not DICOM either")
    (series / "notes.txt").write_text("not DICOM")
    (series / "empty.dcm").touch()
    (series / "broken.dcm").symlink_to(series / "nowhere")
    (series / "link_out.txt").symlink_to(outside)
    os.mkfifo(series / "pipe")

    found = scan(series)

    assert len(found.instances) == 7
    assert found.passed_over == {
        "broken link": 1,
        "empty file": 1,
        "link out of the folder": 1,
        "not DICOM": 1,
        "special file": 1,
    }


def test_a_link_to_dicom_out_of_the_folder_is_an_error_and_not_a_missing_slice(series: Path, tmp_path: Path) -> None:
    path = sorted(series.rglob("*.dcm"))[-1]
    path.symlink_to(path.rename(tmp_path / "elsewhere.dcm"))

    with pytest.raises(InputError, match=rf"{path.name}: a link out of the folder is not followed"):
        scan(series).check_undamaged()


def test_an_object_that_belongs_to_no_series_is_passed_over(series: Path) -> None:
    palette = Dataset()
    palette.SOPClassUID, palette.SOPInstanceUID = COLOR_PALETTE, "2.25.1"
    palette.ensure_file_meta()
    palette.file_meta.MediaStorageSOPClassUID = COLOR_PALETTE
    palette.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    palette.save_as(series / "palette.dcm", enforce_file_format=True)

    found = scan(series)

    assert (found.damaged, found.passed_over) == ({}, {"DICOM without a series": 1})


def test_a_deflated_bomb_is_refused_before_it_goes_off(series: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part10, "MAX_INFLATED_BYTES", 1 << 22)
    dataset = dcmread(next(series.rglob("*.dcm")))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.PixelData = bytes(1 << 23)
    dataset.save_as(series / "bomb.dcm")
    dataset.file_meta.add_new(0x00020100, "UI", "1.2.3")
    dataset.file_meta.add_new(0x00020102, "OB", bytes(5000))  # longer than any meta information should be
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
def test_deep_sequences_are_read_or_refused_and_never_a_crash(series: Path, depth: int) -> None:
    path = sorted(series.rglob("*.dcm"))[0]
    content = path.read_bytes()
    place = content.index(b"\xe0\x7f\x10\x00")
    begin = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    path.write_bytes(content[:place] + begin * depth + end * depth + content[place:])

    found = scan(series)

    assert len(found.instances) + len(found.damaged) == 7
    assert (len(found.damaged) == 1) == (depth > 1000)


def test_links_inside_the_folder_are_copies(series: Path) -> None:
    target = next(series.rglob("*.dcm"))
    (series / "link.dcm").symlink_to(target)

    found = scan(series)

    assert len(found.instances) == 7
    assert found.passed_over == {"copy of another file": 1}


def test_links_to_folders_are_counted_and_not_entered(series: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("not DICOM")
    os.mkfifo(tmp_path / "notes" / "pipe")
    (series / "twin").symlink_to(series, target_is_directory=True)
    (series / "elsewhere").symlink_to(tmp_path / "notes", target_is_directory=True)

    found = scan(series)

    assert len(found.instances) == 7
    assert found.passed_over == {"link to a folder": 2}


def test_a_link_to_a_folder_of_dicom_is_an_error_and_not_a_missing_series(series: Path, tmp_path: Path) -> None:
    phantoms.write(tmp_path / "elsewhere" / "PET", phantoms.distinct(phantoms.oblique_geometry()), "PT")
    (series / "PET").symlink_to(tmp_path / "elsewhere", target_is_directory=True)

    with pytest.raises(InputError, match="1 damaged DICOM file: PET: a link out of the folder is not followed"):
        scan(series).check_undamaged()


def test_a_folder_that_cannot_be_listed_is_an_error(series: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(path: str | Path) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refusing)

    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        scan(series)


def test_a_folder_that_is_itself_a_link_is_entered(series: Path, tmp_path: Path) -> None:
    link = tmp_path / "study"
    link.symlink_to(series)

    assert len(scan(link).instances) == 7


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")  # pydicom's FileSet
def test_dicomdir_is_passed_over(series: Path, tmp_path: Path) -> None:
    media = FileSet()
    for path in series.rglob("*.dcm"):
        media.add(path)
    media.write(tmp_path / "media")
    del media
    gc.collect()

    found = scan(tmp_path / "media")

    assert len(found.instances) == 7
    assert found.passed_over == {"DICOMDIR": 1}


@pytest.mark.filterwarnings("ignore")  # pydicom's, of the file IDs
@pytest.mark.parametrize("way_out", [["..", "outside", "0000.dcm"], ["", "etc", "passwd"]])
def test_a_dicomdir_leads_nowhere(series: Path, tmp_path: Path, way_out: list[str]) -> None:
    """Its references are not followed: what is read lies in the folder."""
    phantoms.write(tmp_path / "outside", phantoms.distinct(phantoms.oblique_geometry()), name="outside")
    media = FileSet()
    media.add(sorted(series.rglob("*.dcm"))[0])
    media.write(tmp_path / "media")
    del media
    gc.collect()
    directory = dcmread(tmp_path / "media" / "DICOMDIR")
    for record in directory.DirectoryRecordSequence:
        if "ReferencedFileID" in record:
            record.ReferencedFileID = way_out
    directory.save_as(tmp_path / "media" / "DICOMDIR")

    found = scan(tmp_path / "media")

    assert [instance.path.is_relative_to(tmp_path / "media") for instance in found.instances] == [True]
    assert found.passed_over == {"DICOMDIR": 1}


def test_the_same_instance_with_other_content_is_no_copy(series: Path) -> None:
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

    found = scan(series)

    assert len(found.instances) == 7
    assert found.instances[0].header.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"


def test_one_file_is_a_scan_of_its_own(series: Path) -> None:
    path = sorted(series.rglob("*.dcm"))[2]

    found = scan(path)

    assert [instance.name for instance in found.instances] == [path.name]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file or folder: .*nowhere"):
        scan(tmp_path / "nowhere")


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_file_cut_anywhere_in_its_header_is_an_error_and_not_a_missing_slice(series: Path) -> None:
    path = sorted(series.rglob("*.dcm"))[3]
    content = path.read_bytes()
    for kept in range(132, len(content) - 11 * 13 * 2 - 12, 3):
        path.write_bytes(content[:kept])

        found = scan(series)

        assert (len(found.instances), list(found.damaged)) == (6, [f"deep/er/{path.name}"]), kept


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_damaged_files_are_named_when_they_are_refused(series: Path) -> None:
    path = sorted(series.rglob("*.dcm"))[3]
    path.write_bytes(path.read_bytes()[:500])

    found = scan(series)

    with pytest.raises(InputError, match=rf"1 damaged DICOM file: .*{path.name}.*"):
        found.check_undamaged()


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_file_that_is_damaged_behind_its_series_uid_is_damage_of_that_series(series: Path) -> None:
    path = sorted(series.rglob("*.dcm"))[3]
    uid = dcmread(path).SeriesInstanceUID
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(uid.encode()) + 100])

    found = scan(series)

    assert [damage.series_uid for damage in found.damaged.values()] == [uid]
    found.check_undamaged()
    found.check_series("another")
    with pytest.raises(InputError, match=path.name):
        found.check_series(uid)


def test_an_unreadable_file_is_an_error(series: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    path = sorted(series.rglob("*.dcm"))[3]
    path.chmod(0)

    with pytest.raises(InputError, match=f"{path.name}: cannot be read"):
        scan(series)
