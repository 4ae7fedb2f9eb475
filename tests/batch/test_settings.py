"""Settings are read from arguments first and the environment second; invalid values are usage errors."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from clickseg.batch.settings import RunSettings, read_settings
from clickseg.cli.run_options import OPTIONS
from clickseg.core.clock import read_clock
from clickseg.core.errors import UsageError
from clickseg.core.memory import Memory
from clickseg.core.options import environment_variable
from clickseg.dicom.repairs import Repairs
from clickseg.inference.engines.engine import Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.importers.source_model import ImportOptions
from clickseg.results.segmentation import SegmentationType


def read(options: dict[str, str], environ: dict[str, str]) -> RunSettings:
    return read_settings(Path("in"), Path("out"), None, options, environ)


def test_the_defaults() -> None:
    settings = read({}, {})

    assert (settings.model, settings.clicks, settings.series_uids) == (None, (), ())
    assert (settings.repairs, settings.segmentation_type) == (Repairs(), SegmentationType.BINARY)
    assert (settings.postprocessing, settings.nifti, settings.statistics) == (True, False, False)


def test_every_option_is_read_from_the_environment() -> None:
    environ = {
        "CLICKSEG_MODEL": "m",
        "CLICKSEG_CLICKS": "c.json",
        "CLICKSEG_CLICKS_FRAME": "lps",
        "CLICKSEG_SERIES": "1.2, 3.4",
        "CLICKSEG_INPUT": "T1 c=1.2, FLAIR=3.4",
        "CLICKSEG_ENGINE": "torch",
        "CLICKSEG_DEVICE": "cuda:1",
        "CLICKSEG_PRECISION": "bf16",
        "CLICKSEG_REPAIR": "resample, volume=2",
        "CLICKSEG_SEGMENTATION_TYPE": "labelmap",
        "CLICKSEG_POSTPROCESSING": "off",
        "CLICKSEG_MIRRORING": "off",
        "CLICKSEG_NIFTI": "1",
        "CLICKSEG_STATISTICS": "true",
        "CLICKSEG_CACHE": "/cache",
        "CLICKSEG_MEMORY_LIMIT": "8 GiB",
        "CLICKSEG_STORED_AXES": "lps",
        "CLICKSEG_UNIT": "suvbw",
        "CLICKSEG_PRESET": "sw_fastedit",
        "CLICKSEG_SET": "window.roi=[64, 64, 32]\ngrid.orientation=LPS",
    }

    settings = read({}, environ)

    assert {environment_variable(name) for name in OPTIONS} == set(environ)
    assert (settings.model, settings.clicks, settings.series_uids) == ("m", ("c.json",), ("1.2", "3.4"))
    assert settings.input_uids == {"T1 c": "1.2", "FLAIR": "3.4"}
    assert settings.repairs == Repairs(resample=True, volume=2)
    assert settings.segmentation_type is SegmentationType.LABELMAP
    assert (settings.postprocessing, settings.nifti, settings.statistics) == (False, True, True)
    changes = {"window.roi": [64, 64, 32], "grid.orientation": "LPS"}
    assert settings.import_options == ImportOptions("LPS", "SUVbw", "sw_fastedit", changes)
    memory = Memory(8 << 30, Path("out"))
    expected = RuntimeSettings(Runtime.TORCH, "cuda:1", Precision.BF16, Path("/cache"), memory, mirroring=False)
    assert settings.runtime == expected


def test_the_cache_is_in_the_users_cache_folder() -> None:
    assert read({}, {"HOME": "/home/a"}).runtime.cache == Path("/home/a/.cache/clickseg")
    assert read({}, {"HOME": "/home/a", "XDG_CACHE_HOME": "/var/cache"}).runtime.cache == Path("/var/cache/clickseg")
    assert read({}, {"LOCALAPPDATA": "/data"}).runtime.cache == Path("/data/clickseg")  # Windows


def test_arguments_take_precedence_over_the_environment() -> None:
    settings = read({"device": "cpu", "clicks": "none"}, {"CLICKSEG_DEVICE": "cuda", "CLICKSEG_CLICKS": "c.json"})

    assert (settings.runtime.device, settings.clicks) == ("cpu", ("none",))


def test_an_empty_variable_is_ignored() -> None:
    assert read({}, {"CLICKSEG_MODEL": "", "CLICKSEG_ENGINE": ""}).model is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clicks-frame": "ras"}, "clicks-frame: expected one of voxel, lps, got 'ras'"),
        ({"segmentation-type": "FRACTIONAL"}, "segmentation-type: expected one of BINARY, LABELMAP"),
        ({"postprocessing": "maybe"}, "postprocessing: expected on or off, got 'maybe'"),
        ({"mirroring": "maybe"}, "mirroring: expected on or off, got 'maybe'"),
        ({"repair": "magic"}, "unknown repair 'magic'"),
        ({"stored-axes": "LPX"}, "stored-axes: expected one letter of each of RL, AP and SI, such as LPS, got 'LPX'"),
        ({"stored-axes": "LRS"}, "stored-axes: expected one letter of each"),
        ({"unit": "Bq/ml"}, "unit: expected HU, SUVbw or none, got 'Bq/ml'"),
        ({"set": "window.overlap"}, "set: expected KEY=VALUE, such as window.overlap=0.25, got 'window.overlap'"),
    ],
)
def test_an_invalid_value_is_a_usage_error(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(options, {})


@pytest.mark.parametrize("value", ["resample", "magic"])
def test_the_renamed_variable_of_repairs_is_a_usage_error(value: str) -> None:
    with pytest.raises(UsageError, match="CLICKSEG_REMEDY was renamed to CLICKSEG_REPAIR"):
        read({}, {"CLICKSEG_REMEDY": value})


def test_the_clock_is_source_date_epoch_in_utc() -> None:
    assert read_clock({"SOURCE_DATE_EPOCH": "86400"}) == datetime(1970, 1, 2, tzinfo=timezone.utc)


def test_without_source_date_epoch_the_clock_is_the_present_time() -> None:
    before = datetime.now().astimezone().replace(microsecond=0)

    assert before <= read_clock({}) <= datetime.now().astimezone()


@pytest.mark.parametrize("epoch", ["", "now", "1.5", "9" * 30])
def test_an_invalid_date_is_a_usage_error(epoch: str) -> None:
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH: expected seconds since 1970"):
        read_clock({"SOURCE_DATE_EPOCH": epoch})
