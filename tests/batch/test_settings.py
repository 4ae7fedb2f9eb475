"""Settings come from arguments first and the environment second, and wrong ones are wrong use."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from clickseg.batch.settings import RunSettings, read_settings
from clickseg.cli.parser import OPTIONS
from clickseg.core.clock import read_clock
from clickseg.core.errors import UsageError
from clickseg.core.memory import Memory
from clickseg.core.options import variable
from clickseg.dicom.series import Remedies
from clickseg.inference.engines.engine import Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.results.segmentation import SegmentationType


def settings(options: dict[str, str], environ: dict[str, str]) -> RunSettings:
    return read_settings(Path("in"), Path("out"), None, options, environ)


def test_the_defaults() -> None:
    read = settings({}, {})

    assert (read.model, read.clicks, read.series_uids) == (None, (), ())
    assert (read.remedies, read.segmentation_type) == (Remedies(), SegmentationType.BINARY)
    assert (read.postprocessing, read.nifti, read.statistics) == (True, False, False)


def test_every_option_is_read_from_the_environment() -> None:
    environ = {
        "CLICKSEG_MODEL": "m",
        "CLICKSEG_CLICKS": "c.json",
        "CLICKSEG_CLICKS_FRAME": "lps",
        "CLICKSEG_SERIES": "1.2, 3.4",
        "CLICKSEG_ENGINE": "torch",
        "CLICKSEG_DEVICE": "cuda:1",
        "CLICKSEG_PRECISION": "bf16",
        "CLICKSEG_REMEDY": "resample, volume=2",
        "CLICKSEG_SEGMENTATION_TYPE": "labelmap",
        "CLICKSEG_POSTPROCESSING": "off",
        "CLICKSEG_NIFTI": "1",
        "CLICKSEG_STATISTICS": "true",
        "CLICKSEG_CACHE": "/cache",
        "CLICKSEG_MEMORY_LIMIT": "8 GiB",
    }

    read = settings({}, environ)

    assert {variable(name) for name in OPTIONS} == set(environ)
    assert (read.model, read.clicks, read.series_uids) == ("m", ("c.json",), ("1.2", "3.4"))
    assert read.remedies == Remedies(resample=True, volume=2)
    assert read.segmentation_type is SegmentationType.LABELMAP
    assert (read.postprocessing, read.nifti, read.statistics) == (False, True, True)
    memory = Memory(8 << 30, Path("out"))
    assert read.runtime == RuntimeSettings(Runtime.TORCH, "cuda:1", Precision.BF16, Path("/cache"), memory)


def test_the_cache_is_where_the_user_keeps_caches() -> None:
    assert settings({}, {"HOME": "/home/a"}).runtime.cache == Path("/home/a/.cache/clickseg")
    assert settings({}, {"HOME": "/home/a", "XDG_CACHE_HOME": "/var/cache"}).runtime.cache == Path(
        "/var/cache/clickseg"
    )
    assert settings({}, {"LOCALAPPDATA": "/data"}).runtime.cache == Path("/data/clickseg")  # Windows


def test_arguments_win_over_the_environment() -> None:
    read = settings({"device": "cpu", "clicks": "none"}, {"CLICKSEG_DEVICE": "cuda", "CLICKSEG_CLICKS": "c.json"})

    assert (read.runtime.device, read.clicks) == ("cpu", ("none",))


def test_an_empty_variable_is_as_none() -> None:
    assert settings({}, {"CLICKSEG_MODEL": "", "CLICKSEG_ENGINE": ""}).model is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clicks-frame": "ras"}, "clicks-frame: expected voxel, lps, got 'ras'"),
        ({"segmentation-type": "FRACTIONAL"}, "segmentation-type: expected BINARY, LABELMAP"),
        ({"postprocessing": "maybe"}, "postprocessing: expected on or off, got 'maybe'"),
        ({"remedy": "magic"}, "unknown remedy 'magic'"),
    ],
)
def test_a_wrong_value_is_wrong_use(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings(options, {})


def test_the_clock_is_source_date_epoch_in_utc() -> None:
    assert read_clock({"SOURCE_DATE_EPOCH": "86400"}) == datetime(1970, 1, 2, tzinfo=timezone.utc)


def test_without_it_the_clock_is_now() -> None:
    before = datetime.now().astimezone().replace(microsecond=0)

    assert before <= read_clock({}) <= datetime.now().astimezone()


@pytest.mark.parametrize("epoch", ["", "now", "1.5", "9" * 30])
def test_a_date_that_is_none_is_wrong_use(epoch: str) -> None:
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH: expected seconds since 1970"):
        read_clock({"SOURCE_DATE_EPOCH": epoch})
