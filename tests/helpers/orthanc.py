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
AE_TITLE = "PACS"


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running PACS.

    Attributes:
        dicom_port: The port for DICOM associations.
        web_port: The port for DICOMweb.
    """

    dicom_port: int
    web_port: int

    @property
    def dicomweb(self) -> Any:
        """A DICOMweb client of this PACS."""
        return _import_or_skip("dicomweb_client").DICOMwebClient(f"http://127.0.0.1:{self.web_port}/dicom-web")

    def c_store(self, files: Sequence[Path]) -> list[int]:
        """Sends files over DICOM; returns the status of each file."""
        entity = _import_or_skip("pynetdicom").AE(ae_title="CLICKSEG")
        datasets = [dcmread(path) for path in files]
        for uid, syntax in {(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID) for dataset in datasets}:
            entity.add_requested_context(uid, syntax)
        association = entity.associate("127.0.0.1", self.dicom_port, ae_title=AE_TITLE)
        assert association.is_established
        try:
            return [int(association.send_c_store(dataset).Status) for dataset in datasets]
        finally:
            association.release()

    def stow(self, files: Sequence[Path]) -> None:
        """Sends files over DICOMweb."""
        self.dicomweb.store_instances([dcmread(path) for path in files])

    def retrieve(self, study_uid: str, folder: Path) -> None:
        """Fetches a study over DICOMweb into a folder."""
        folder.mkdir(parents=True)
        for dataset in self.dicomweb.retrieve_study(study_uid):
            dataset.save_as(folder / f"{dataset.SOPInstanceUID}.dcm")

    def find_series(self, study_uid: str) -> dict[str, Dataset]:
        """Returns the QIDO-RS response for each series of a study by modality; expects one series for each modality."""
        fields = ["SeriesDescription", "NumberOfSeriesRelatedInstances", "PatientID", "StudyInstanceUID"]
        responses = [
            Dataset.from_json(response) for response in self.dicomweb.search_for_series(study_uid, fields=fields)
        ]
        assert len({series.Modality for series in responses}) == len(responses)
        return {series.Modality: series for series in responses}


@contextmanager
def run_orthanc(folder: Path) -> Iterator[Orthanc]:
    """Runs a separate Orthanc with its own storage and ports; a service of the machine is not touched."""
    if PROGRAM is None or not PLUG_IN.exists():
        pytest.skip("no PACS: Orthanc is not installed (Debian packages orthanc and orthanc-dicomweb)")
    for name in ("pynetdicom", "dicomweb_client"):
        _import_or_skip(name)
    pacs = Orthanc(_free_port(), _free_port())
    path = folder / "orthanc.json"
    path.write_text(json.dumps(_configuration(pacs, folder / "storage")))
    with (folder / "orthanc.log").open("w") as log:
        process = subprocess.Popen([PROGRAM, path], stdout=log, stderr=log)
    try:
        _wait_until_ready(pacs, process, folder / "orthanc.log")
        yield pacs
    finally:
        process.terminate()
        process.wait(timeout=600)


def _import_or_skip(name: str) -> ModuleType:
    module: ModuleType = pytest.importorskip(name, reason=f"no client for a PACS: {name} is not installed")
    return module


def _configuration(pacs: Orthanc, storage: Path) -> dict[str, object]:
    return {
        "Name": "tests",
        "StorageDirectory": str(storage),
        "IndexDirectory": str(storage),
        "HttpPort": pacs.web_port,
        "DicomPort": pacs.dicom_port,
        "DicomAet": AE_TITLE,
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


def _wait_until_ready(pacs: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(6000):
        if process.poll() is not None:
            raise ChildProcessError(log.read_text())
        try:
            with urlopen(f"http://127.0.0.1:{pacs.web_port}/dicom-web/studies", timeout=600):
                return
        except (URLError, ConnectionError):
            time.sleep(0.1)
    raise TimeoutError(log.read_text())
