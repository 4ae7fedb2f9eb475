"""The loops of ``kernels``, compiled by Numba and run by several threads; each voxel belongs to one thread.

Compiled loops are cached on disk, so that later processes need not compile them. Numba's own cache has neither a lock
nor a checksum: two simultaneous runs, a killed run or a full disk can leave damaged code in it. Therefore Numba only
gets a temporary folder of this process. Its content is cached as one file with its SHA-256, and unpacked into a
temporary folder by the next process. Numba unpickles its cache files, so a file is used only if nobody except this user
and root could have written it.
"""

from __future__ import annotations

import hashlib
import io
import logging
import platform
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba
import numpy as np

from clickseg.core.arrays import Box, Float32Array, LabelArray, Triple
from clickseg.core.cache import CacheEntry
from clickseg.core.owned_files import has_file_owners, is_trusted_file
from clickseg.inference import loops
from clickseg.inference.linear import TrilinearWeights
from clickseg.inference.loops import Loops, compile_loops

logger = logging.getLogger(__name__)


class CompiledKernels:
    """The loops on several threads; the result does not depend on the number of threads."""

    def __init__(self, threads: int, cache: Path | None = None) -> None:
        """Compiles the loops, or loads them from a cache.

        Args:
            threads: The number of threads.
            cache: The folder for compiled loops; None for no cache.
        """
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="stitch")
        self._loops = load_loops(cache)

    def add_window(
        self,
        sums: Float32Array,
        weight_sums: Float32Array,
        logits: Float32Array,
        weights: Float32Array,
        position: Triple,
        part: Box,
    ) -> None:
        """See ``Kernels``."""
        origin = tuple(axis.start for axis in part)
        size = tuple(axis.stop - axis.start for axis in part)
        self._run_in_threads(size[0], partial(self._loops.add_weights, weight_sums, weights, position, origin, size))
        self._run_in_threads(
            len(sums) * size[0], partial(self._loops.add_window, sums, logits, weights, position, origin, size)
        )

    def divide(
        self, sums: Float32Array, weight_sums: Float32Array, axis: int, first: int, planes: Float32Array
    ) -> bool:
        """See ``Kernels``."""
        block = slice(first, first + len(planes))
        block_weights = np.moveaxis(weight_sums, axis, 0)[block]
        inverse = np.float32(1) / block_weights
        if axis == 2:
            divide = partial(self._loops.divide_rows, sums, inverse, planes, first)
        else:
            divide = partial(self._loops.divide_planes, np.moveaxis(sums, 1 + axis, 0)[block], inverse, planes)
        are_finite = self._run_in_threads(planes.shape[1] * planes.shape[2], divide)
        block_weights[...] = 0
        return all(are_finite)

    def argmax(
        self,
        highest: Float32Array,
        labels: LabelArray,
        planes: Float32Array,
        interpolation: TrilinearWeights,
        class_numbers: LabelArray,
    ) -> None:
        """See ``Kernels``."""
        self._run_in_threads(
            highest.shape[0] * highest.shape[1],
            partial(self._loops.argmax, highest, labels, planes, *interpolation, class_numbers),
        )

    def threshold(
        self, bits: LabelArray, planes: Float32Array, interpolation: TrilinearWeights, first_bit: int
    ) -> None:
        """See ``Kernels``."""
        self._run_in_threads(
            bits.shape[0] * bits.shape[1], partial(self._loops.threshold, bits, planes, *interpolation, first_bit)
        )

    def overwrite(
        self, labels: LabelArray, planes: Float32Array, interpolation: TrilinearWeights, class_numbers: LabelArray
    ) -> None:
        """See ``Kernels``."""
        self._run_in_threads(
            labels.shape[0] * labels.shape[1],
            partial(self._loops.overwrite, labels, planes, *interpolation, class_numbers),
        )

    def _run_in_threads(self, count: int, run: Callable[[int, int], Any]) -> list[Any]:
        """Runs a loop over ``count`` lines, with an equal range (first, stop) for each thread."""
        bounds = [count * number // self._threads for number in range(self._threads + 1)]
        futures = [self._pool.submit(run, first, stop) for first, stop in pairwise(bounds)]
        return [future.result() for future in futures]


def load_loops(cache: Path | None) -> Loops:
    """Loads the compiled loops from a cache if they are intact; else compiles them, and caches them if possible.

    Args:
        cache: The folder for compiled code; None for no cache.
    """
    if cache is None or not has_file_owners():
        return compile_loops(use_cache=False)
    try:
        entry = CacheEntry(cache, "numba", _cache_key(), ".zip")
        with tempfile.TemporaryDirectory() as folder, _numba_cache_dir(folder):
            content = entry.read(is_trusted_file)
            if content is not None:
                _unpack_archive(content, Path(folder))
            compiled = compile_loops(use_cache=True)
            if content is None:
                entry.write(_pack_folder(Path(folder)))
            return compiled
    except (OSError, RuntimeError) as error:  # no writable folder, which Numba reports as RuntimeError
        logger.debug("compiled loops are not cached: %s", error)
        return compile_loops(use_cache=False)


def _cache_key() -> dict[str, object]:
    """Returns everything that compiled loops depend on; Numba also compares the time stamp of the source."""
    source = Path(loops.__file__)
    return {
        "source": hashlib.sha256(source.read_bytes()).hexdigest(),
        "stamp": [source.stat().st_mtime_ns, str(source)],
        "versions": [platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__],
        "processor": [llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten()],
    }


def _pack_folder(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(file, file.relative_to(folder))
    return buffer.getvalue()


def _unpack_archive(content: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)


@contextmanager
def _numba_cache_dir(folder: str) -> Iterator[None]:
    """Makes a folder the cache of Numba within a ``with`` block."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = folder
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
