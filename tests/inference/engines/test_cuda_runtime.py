"""The checks of the CUDA driver, with a fake driver."""

from __future__ import annotations

import ctypes

import pytest

from clickseg.core.errors import EngineError
from clickseg.inference.engines.cuda_runtime import check_driver, driver_version, has_cuda_device


class FakeDriver:
    """A fake of the CUDA driver API: 0 is success, 100 is ``CUDA_ERROR_NO_DEVICE``."""

    def __init__(self, version: int, devices: int) -> None:
        self.version, self.devices = version, devices

    def __call__(self, library: str) -> FakeDriver:
        assert library == "libcuda.so.1"
        return self

    def cuInit(self, _flags: int) -> int:  # noqa: N802 - the name in the API
        return 0 if self.devices else 100

    def cuDeviceGetCount(self, count: object) -> int:  # noqa: N802
        count._obj.value = self.devices
        return 0

    def cuDriverGetVersion(self, version: object) -> int:  # noqa: N802
        version._obj.value = self.version
        return 0


@pytest.mark.parametrize(("version", "shown"), [(13000, "13.0"), (12080, "12.8")])
def test_the_version_of_the_driver_is_read(monkeypatch: pytest.MonkeyPatch, version: int, shown: str) -> None:
    monkeypatch.setattr(ctypes, "CDLL", FakeDriver(version, 1))

    assert driver_version() == shown


@pytest.mark.parametrize(("version", "shown"), [(12040, "12.4"), (11080, "11.8")])
def test_an_old_driver_is_an_error_with_both_versions(
    monkeypatch: pytest.MonkeyPatch, version: int, shown: str
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", FakeDriver(version, 1))

    with pytest.raises(EngineError, match=rf"(?m)expected one for CUDA 13\.0 or newer, got CUDA {shown}$"):
        check_driver()


@pytest.mark.parametrize("version", [13000, 13010, 14000])
def test_a_new_driver_is_accepted(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    monkeypatch.setattr(ctypes, "CDLL", FakeDriver(version, 1))

    check_driver()

    assert driver_version() == f"{version // 1000}.{version % 1000 // 10}"


@pytest.mark.parametrize("devices", [0, 1, 2])
def test_a_device_exists_if_the_driver_finds_one(monkeypatch: pytest.MonkeyPatch, devices: int) -> None:
    monkeypatch.setattr(ctypes, "CDLL", FakeDriver(13000, devices))

    assert has_cuda_device() is (devices > 0)


def test_without_a_driver_no_device_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_to_load(library: str) -> None:
        raise OSError(library)

    monkeypatch.setattr(ctypes, "CDLL", fail_to_load)

    assert (driver_version(), has_cuda_device()) == ("none", False)
