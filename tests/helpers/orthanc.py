"""A PACS for tests: Debian's Orthanc with its DICOMweb plug-in (packages orthanc and orthanc-dicomweb)."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from pydicom import Dataset, dcmread

PROGRAM = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
PLUG_IN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
TITLE = "PACS"


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running PACS.

    Attributes:
        dicom_port: Where it takes associations.
        web_port: Where it speaks DICOMweb.
    """

    dicom_port: int
    web_port: int

    @property
    def web(self) -> Any:
        """A DICOMweb client of it."""
        return _module("dicomweb_client").DICOMwebClient(f"http://127.0.0.1:{self.web_port}/dicom-web")

    def c_store(self, files: Sequence[Path]) -> list[int]:
        """Sends files over DICOM; returns the status of each."""
        entity = _module("pynetdicom").AE(ae_title="CLICKSEG")
        datasets = [dcmread(path) for path in files]
        for uid, syntax in {(each.SOPClassUID, each.file_meta.TransferSyntaxUID) for each in datasets}:
            entity.add_requested_context(uid, syntax)
        association = entity.associate("127.0.0.1", self.dicom_port, ae_title=TITLE)
        assert association.is_established
        try:
            return [int(association.send_c_store(each).Status) for each in datasets]
        finally:
            association.release()

    def stow(self, files: Sequence[Path]) -> None:
        """Sends files over DICOMweb."""
        self.web.store_instances([dcmread(path) for path in files])

    def retrieve(self, study_uid: str, folder: Path) -> None:
        """Fetches a study over DICOMweb into a folder."""
        folder.mkdir(parents=True)
        for dataset in self.web.retrieve_study(study_uid):
            dataset.save_as(folder / f"{dataset.SOPInstanceUID}.dcm")

    def series(self, study_uid: str) -> dict[str, Dataset]:
        """What QIDO-RS says of the series of a study, by modality; one of each is expected."""
        fields = ["SeriesDescription", "NumberOfSeriesRelatedInstances", "PatientID", "StudyInstanceUID"]
        found = [Dataset.from_json(each) for each in self.web.search_for_series(study_uid, fields=fields)]
        assert len({each.Modality for each in found}) == len(found)
        return {each.Modality: each for each in found}


@contextmanager
def running(folder: Path) -> Iterator[Orthanc]:
    """Runs an Orthanc of its own, with its own storage and ports; the machine's service is not touched."""
    if PROGRAM is None or not PLUG_IN.exists():
        pytest.skip("no PACS: Orthanc is not installed (Debian packages orthanc and orthanc-dicomweb)")
    for name in ("pynetdicom", "dicomweb_client"):
        _module(name)
    pacs = Orthanc(_free_port(), _free_port())
    path = folder / "orthanc.json"
    path.write_text(json.dumps(_configuration(pacs, folder / "storage")))
    with (folder / "orthanc.log").open("w") as log:
        process = subprocess.Popen([PROGRAM, path], stdout=log, stderr=log)
    try:
        _wait_for(pacs, process, folder / "orthanc.log")
        yield pacs
    finally:
        process.terminate()
        process.wait(timeout=600)


def _module(name: str) -> ModuleType:
    found: ModuleType = pytest.importorskip(name, reason=f"no client of a PACS: {name} is not installed")
    return found


def _configuration(pacs: Orthanc, storage: Path) -> dict[str, object]:
    return {
        "Name": "tests",
        "StorageDirectory": str(storage),
        "IndexDirectory": str(storage),
        "HttpPort": pacs.web_port,
        "DicomPort": pacs.dicom_port,
        "DicomAet": TITLE,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowStore": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(PLUG_IN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(pacs: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(6000):
        if process.poll() is not None:
            raise ChildProcessError(log.read_text())
        try:
            with urlopen(f"http://127.0.0.1:{pacs.web_port}/dicom-web/studies", timeout=600):
                return
        except (URLError, ConnectionError):
            time.sleep(0.1)
    raise TimeoutError(log.read_text())
