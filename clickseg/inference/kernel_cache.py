"""Keeping compiled loops on disk, so that a process compiles nothing where one before it did.

Numba's own cache has neither lock nor check: two runs at once, a run that is killed, or a full disk leave code in it
that is not what it is taken for. Here Numba only sees a folder of this process alone; what it writes there is kept as
one file with its SHA-256, and unpacked into such a folder again. Numba unpickles what it reads, so a file counts only
where nobody but this user and root could have written it.
"""

from __future__ import annotations

import hashlib
import io
import logging
import platform
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import llvmlite
import llvmlite.binding
import numba
import numpy as np

from clickseg.cache import Slot
from clickseg.core.owned_files import is_ours, knows_owners
from clickseg.inference import loops
from clickseg.inference.loops import Loops, compile_loops

logger = logging.getLogger(__name__)


def kept_loops(cache: Path | None) -> Loops:
    """Returns the compiled loops, from a cache where they are whole; else compiles them, and keeps them if it can.

    Args:
        cache: The folder for compiled things; None for none.
    """
    if cache is None or not knows_owners():
        return compile_loops(keep=False)
    try:
        slot = Slot(cache, "numba", _depends_on(), ".zip")
        with tempfile.TemporaryDirectory() as folder, _numba_folder(folder):
            content = slot.read(is_ours)
            if content is not None:
                _unpack(content, Path(folder))
            made = compile_loops(keep=True)
            if content is None:
                slot.write(_packed(Path(folder)))
            return made
    except (OSError, RuntimeError) as error:  # nowhere to write, which Numba says as RuntimeError
        logger.debug("no cache of compiled loops: %s", error)
        return compile_loops(keep=False)


def _depends_on() -> dict[str, object]:
    """Returns all that compiled loops depend on; Numba looks at the time stamp of the source too."""
    source = Path(loops.__file__)
    return {
        "source": hashlib.sha256(source.read_bytes()).hexdigest(),
        "stamp": [source.stat().st_mtime_ns, str(source)],
        "versions": [platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__],
        "processor": [llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten()],
    }


def _packed(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(file, file.relative_to(folder))
    return packed.getvalue()


def _unpack(content: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)


@contextmanager
def _numba_folder(folder: str) -> Iterator[None]:
    """Tells Numba where to look for compiled loops, and to write them."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = folder
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
