"""The loops of ``kernels``, compiled by Numba and run by several threads; each voxel is one thread's alone.

Compiled loops are kept on disk, so that a process compiles nothing where one before it did. Numba's own cache has
neither lock nor check: two runs at once, a run that is killed, or a full disk leave code in it that is not what it is
taken for. Here Numba only sees a folder of this process alone; what it writes there is kept as one file with its
SHA-256, and unpacked into such a folder again. Numba unpickles what it reads, so a file counts only where nobody but
this user and root could have written it.
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
from itertools import pairwise
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba
import numpy as np

from clickseg.core.arrays import Box, Numbers, Triple, Values
from clickseg.core.cache import Slot
from clickseg.core.owned_files import is_ours, knows_owners
from clickseg.inference import loops
from clickseg.inference.loops import Loops, compile_loops
from clickseg.inference.resample import Neighbours

logger = logging.getLogger(__name__)


class CompiledKernels:
    """The loops on several threads; how many does not show in the result."""

    def __init__(self, threads: int, cache: Path | None = None) -> None:
        """Compiles the loops, or takes them from a cache.

        Args:
            threads: How many run at once.
            cache: A folder for compiled loops; None for none.
        """
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="stitch")
        self._loops = load_loops(cache)

    def add_window(self, total: Values, weights: Values, logits: Values, weight: Values, at: Triple, part: Box) -> None:
        """See ``Kernels``."""
        origin = tuple(box.start for box in part)
        size = tuple(box.stop - box.start for box in part)
        self._run_in_threads(size[0], lambda i, end: self._loops.add_weights(weights, weight, at, origin, size, i, end))
        lines = len(total) * size[0]
        self._run_in_threads(lines, lambda first, stop: self._loops.add_window(total, logits, weight, at, origin, size, first, stop))

    def divide(self, total: Values, weights: Values, axis: int, first: int, planes: Values) -> bool:
        """See ``Kernels``."""
        box, lines = slice(first, first + len(planes)), planes.shape[1] * planes.shape[2]
        summed = np.moveaxis(weights, axis, 0)[box]
        inverse = np.float32(1) / summed
        if axis == 2:
            parts = self._run_in_threads(lines, lambda i, end: self._loops.divide_rows(total, inverse, planes, first, i, end))
        else:
            sums = np.moveaxis(total, 1 + axis, 0)[box]
            parts = self._run_in_threads(lines, lambda i, end: self._loops.divide_planes(sums, inverse, planes, i, end))
        summed[...] = 0
        return all(parts)

    def argmax(self, best: Values, labels: Numbers, planes: Values, between: Neighbours, numbers: Numbers) -> None:
        """See ``Kernels``."""
        lines = best.shape[0] * best.shape[1]
        self._run_in_threads(
            lines, lambda first, stop: self._loops.argmax(best, labels, planes, *between, numbers, first, stop)
        )

    def threshold(self, bits: Numbers, planes: Values, between: Neighbours, first: int) -> None:
        """See ``Kernels``."""
        lines = bits.shape[0] * bits.shape[1]
        self._run_in_threads(lines, lambda start, stop: self._loops.threshold(bits, planes, *between, first, start, stop))

    def _run_in_threads(self, count: int, run: Callable[[int, int], Any]) -> list[Any]:
        bounds = [count * number // self._threads for number in range(self._threads + 1)]
        parts = [self._pool.submit(run, first, stop) for first, stop in pairwise(bounds)]
        return [part.result() for part in parts]


def load_loops(cache: Path | None) -> Loops:
    """Returns the compiled loops, from a cache where they are whole; else compiles them, and keeps them if it can.

    Args:
        cache: The folder for compiled things; None for none.
    """
    if cache is None or not knows_owners():
        return compile_loops(keep=False)
    try:
        slot = Slot(cache, "numba", _cache_key(), ".zip")
        with tempfile.TemporaryDirectory() as folder, _numba_cache_dir(folder):
            content = slot.read(is_ours)
            if content is not None:
                _unpack_archive(content, Path(folder))
            made = compile_loops(keep=True)
            if content is None:
                slot.write(_pack_folder(Path(folder)))
            return made
    except (OSError, RuntimeError) as error:  # nowhere to write, which Numba says as RuntimeError
        logger.debug("no cache of compiled loops: %s", error)
        return compile_loops(keep=False)


def _cache_key() -> dict[str, object]:
    """Returns all that compiled loops depend on; Numba looks at the time stamp of the source too."""
    source = Path(loops.__file__)
    return {
        "source": hashlib.sha256(source.read_bytes()).hexdigest(),
        "stamp": [source.stat().st_mtime_ns, str(source)],
        "versions": [platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__],
        "processor": [llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten()],
    }


def _pack_folder(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(file, file.relative_to(folder))
    return packed.getvalue()


def _unpack_archive(content: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)


@contextmanager
def _numba_cache_dir(folder: str) -> Iterator[None]:
    """Tells Numba where to look for compiled loops, and to write them."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = folder
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
