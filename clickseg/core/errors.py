"""The errors of ClickSeg. Each is also an instance of a built-in exception, such as ValueError.

A message states in one line what is wrong, where, what was expected and what was found. It has no patient data.
``hint``, if present, tells the user how to solve the problem. Python 3.11 and later show it below a traceback.
"""

from __future__ import annotations


class ClickSegError(Exception):
    """The base class of all errors that ClickSeg raises deliberately."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint and hasattr(self, "add_note"):  # Python 3.11 or later
            self.add_note(f"hint: {hint}")


def unexpected_error(error: Exception) -> ClickSegError:
    """Returns the error that is reported for an unexpected exception, whose own text may contain patient data."""
    if isinstance(error, MemoryError):
        return ClickSegError("out of memory", hint="provide more memory, or segment fewer series in one run")
    bug = ClickSegError(
        f"a bug in ClickSeg: {type(error).__name__}",
        hint="--debug (clickseg) or -l DEBUG (the application) shows the traceback",
    )
    bug.__cause__ = error
    return bug


class Interrupted(ClickSegError):  # noqa: N818 - not an error of the user or of ClickSeg
    """The run was interrupted by a signal."""


class Killed(ClickSegError):  # noqa: N818 - not an error of the user or of ClickSeg
    """The run was killed before it could report an error. Its metadata were written when it started."""


class UsageError(ClickSegError, ValueError):
    """A command or function was called with wrong options or arguments (exit code 2)."""


class InputError(ClickSegError, ValueError):
    """An input file or folder cannot be used."""


class SeriesError(InputError):
    """A DICOM series is not a regular volume, which segmentation requires."""


class PixelDataError(InputError):
    """The pixel data of a DICOM instance cannot be decoded."""


class SuvError(InputError):
    """A PET series lacks attributes that the standardized uptake value (SUV) is computed from."""


class ClickError(InputError):
    """A click or a click file is invalid, or does not fit the series or the model."""


class ModelError(ClickSegError, ValueError):
    """A model package is incomplete, inconsistent or unsafe, or does not support the input."""


class SessionError(ClickSegError, ValueError):
    """A session cannot be continued."""


class EngineError(ClickSegError, RuntimeError):
    """An inference runtime is not installed, or failed."""


class ConversionError(EngineError):
    """A network cannot be converted for an inference runtime; it may still run in torch."""


class DeviceMemoryError(EngineError, MemoryError):
    """A device ran out of memory. An engine with a smaller batch (``Engine.with_half_batch``) may fit."""


class MemoryLimitError(ClickSegError, MemoryError):
    """A run would exceed its memory limit."""


class ContainerError(ClickSegError, RuntimeError):
    """A container image cannot be built or run."""


class OutputError(ClickSegError, OSError):
    """A result cannot be written."""


class LibraryError(ClickSegError, ImportError):
    """A library is not installed that comes with an extra."""
