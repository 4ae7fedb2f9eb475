"""How networks are run comes from arguments first and the environment second, and wrong values are wrong use."""

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


def settings(options: dict[str, str], environ: dict[str, str]) -> RuntimeSettings:
    return read_runtime_settings(options, environ, Path("spool"))


def test_without_options_all_is_automatic() -> None:
    read = settings({}, {})

    assert (read.runtime, read.device, read.precision) == (Runtime.AUTO, "auto", Precision.AUTO)
    assert read.memory.spool == Path("spool")
    assert read.memory.limit_bytes > 100 << 20  # what this machine has


def test_options_win_over_the_environment() -> None:
    environ = {"CLICKSEG_ENGINE": "openvino", "CLICKSEG_DEVICE": "cuda:1", "CLICKSEG_CACHE": "/of/environ"}

    read = settings({"engine": "torch", "cache": "/of/option", "memory-limit": "2G"}, environ)

    expected = RuntimeSettings(
        Runtime.TORCH, "cuda:1", Precision.AUTO, Path("/of/option"), Memory(2 << 30, Path("spool"))
    )
    assert read == expected


def test_the_cache_is_where_the_user_keeps_caches() -> None:
    for read in (default_runtime_settings, lambda environ: settings({}, environ)):
        assert read({"HOME": "/home/a"}).cache == Path("/home/a/.cache/clickseg")
        assert read({"HOME": "/home/a", "XDG_CACHE_HOME": "/var/cache"}).cache == Path("/var/cache/clickseg")
        assert read({}).cache == Path("/.cache/clickseg")


def test_the_defaults_keep_what_does_not_fit_into_memory_in_the_temporary_folder() -> None:
    assert default_runtime_settings({}).memory.spool == Path(tempfile.gettempdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "onnx"}, "engine: expected auto, openvino, torch, tensorrt, got 'onnx'"),
        ({"device": "gpu"}, "device: expected auto, cpu, cuda or cuda:N, got 'gpu'"),
        ({"device": "cuda:x"}, "device: expected"),
        ({"precision": "int4"}, "precision: expected auto, f32, bf16, f16, int8, got 'int4'"),
        ({"memory-limit": "much"}, "memory-limit: expected a size such as 8G or 512M, got 'much'"),
    ],
)
def test_a_wrong_value_is_wrong_use(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings(options, {})
