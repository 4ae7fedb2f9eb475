"""Runtime settings are read from options, then from the environment; invalid values are usage errors."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from clickseg.core.errors import UsageError
from clickseg.core.memory import Memory
from clickseg.inference.engines.engine import Precision
from clickseg.inference.runtime_settings import (
    Runtime,
    RuntimeSettings,
    default_runtime_settings,
    read_runtime_settings,
)


def read_settings(options: dict[str, str], environ: dict[str, str]) -> RuntimeSettings:
    return read_runtime_settings(options, environ, Path("spool"))


def test_without_options_everything_is_auto() -> None:
    settings = read_settings({}, {})

    assert (settings.runtime, settings.device, settings.precision) == (Runtime.AUTO, "auto", Precision.AUTO)
    assert settings.memory.spool_folder == Path("spool")
    assert settings.mirroring
    assert settings.memory.limit_bytes > 100 << 20  # the memory of this machine


def test_options_take_precedence_over_the_environment() -> None:
    environ = {"CLICKSEG_ENGINE": "openvino", "CLICKSEG_DEVICE": "cuda:1", "CLICKSEG_CACHE": "/from/environ"}

    settings = read_settings({"engine": "torch", "cache": "/from/option", "memory-limit": "2G"}, environ)

    expected = RuntimeSettings(
        Runtime.TORCH, "cuda:1", Precision.AUTO, Path("/from/option"), Memory(2 << 30, Path("spool"))
    )
    assert settings == expected


def test_the_cache_is_in_the_cache_folder_of_the_user() -> None:
    for read in (default_runtime_settings, lambda environ: read_settings({}, environ)):
        assert read({"HOME": "/home/a"}).cache == Path("/home/a/.cache/clickseg")
        assert read({"HOME": "/home/a", "XDG_CACHE_HOME": "/var/cache"}).cache == Path("/var/cache/clickseg")
        assert read({}).cache == Path("/.cache/clickseg")


def test_by_default_logits_that_do_not_fit_into_memory_are_in_the_temporary_folder() -> None:
    assert default_runtime_settings({}).memory.spool_folder == Path(tempfile.gettempdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "onnx"}, "engine: expected one of auto, openvino, torch, tensorrt, got 'onnx'"),
        ({"device": "gpu"}, "device: expected auto, cpu, cuda or cuda:N, got 'gpu'"),
        ({"device": "cuda:x"}, "device: expected"),
        ({"precision": "int4"}, "precision: expected one of auto, f32, bf16, f16, int8, got 'int4'"),
        ({"memory-limit": "much"}, "memory-limit: expected a size such as 8G or 512M, got 'much'"),
    ],
)
def test_an_invalid_value_is_a_usage_error(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_settings(options, {})
