"""What the CUDA driver is asked, through a driver that stands in for it."""

from __future__ import annotations

import ctypes

import pytest

from clickseg.core.errors import EngineError
from clickseg.inference.engines.cuda_runtime import check_driver, driver_version, has_cuda_device


class Driver:
    """Says what the CUDA driver API says: 0 is success, 100 is ``CUDA_ERROR_NO_DEVICE``."""

    def __init__(self, version: int, devices: int) -> None:
        self.version, self.devices = version, devices

    def __call__(self, library: str) -> Driver:
        assert library == "libcuda.so.1"
        return self

    def cuInit(self, _flags: int) -> int:  # noqa: N802 - its name there
        return 0 if self.devices else 100

    def cuDeviceGetCount(self, count: object) -> int:  # noqa: N802
        count._obj.value = self.devices
        return 0

    def cuDriverGetVersion(self, version: object) -> int:  # noqa: N802
        version._obj.value = self.version
        return 0


@pytest.mark.parametrize(("version", "shown"), [(13000, "13.0"), (12080, "12.8")])
def test_the_driver_says_its_version(monkeypatch: pytest.MonkeyPatch, version: int, shown: str) -> None:
    monkeypatch.setattr(ctypes, "CDLL", Driver(version, 1))

    assert driver_version() == shown


@pytest.mark.parametrize(("version", "shown"), [(12040, "12.4"), (11080, "11.8")])
def test_a_driver_that_is_too_old_is_refused_with_both_versions(
    monkeypatch: pytest.MonkeyPatch, version: int, shown: str
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", Driver(version, 1))

    with pytest.raises(EngineError, match=rf"(?m)expected one for CUDA 13\.0 or newer, got CUDA {shown}$"):
        check_driver()


@pytest.mark.parametrize("version", [13000, 13010, 14000])
def test_a_driver_that_is_new_enough_is_taken(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    monkeypatch.setattr(ctypes, "CDLL", Driver(version, 1))

    check_driver()

    assert driver_version() == f"{version // 1000}.{version % 1000 // 10}"


@pytest.mark.parametrize("devices", [0, 1, 2])
def test_a_device_is_there_where_the_driver_sees_one(monkeypatch: pytest.MonkeyPatch, devices: int) -> None:
    monkeypatch.setattr(ctypes, "CDLL", Driver(13000, devices))

    assert has_cuda_device() is (devices > 0)


def test_without_a_driver_there_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(library: str) -> None:
        raise OSError(library)

    monkeypatch.setattr(ctypes, "CDLL", missing)

    assert (driver_version(), has_cuda_device()) == ("none", False)
