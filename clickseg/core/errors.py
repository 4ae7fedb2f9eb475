"""The one family of errors: each also is the builtin that a caller would expect.

A message says what is wrong, where, what was expected and what was found, in one line and without patient data.
``hint``, where there is one, says what the user can do about it; Python 3.11 and later show it below a traceback.
"""

from __future__ import annotations


class ClickSegError(Exception):
    """The root of all errors that ClickSeg raises on purpose."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint and hasattr(self, "add_note"):  # new in Python 3.11
            self.add_note(f"hint: {hint}")


def unexpected(error: Exception) -> ClickSegError:
    """Returns what a user is told of an error that ClickSeg did not foresee; its own text may hold patient data."""
    if isinstance(error, MemoryError):
        return ClickSegError("out of memory", hint="give the run more memory, or fewer series at a time")
    found = ClickSegError(
        f"a bug in ClickSeg: {type(error).__name__}",
        hint="--debug (clickseg) or -l DEBUG (the application) shows where",
    )
    found.__cause__ = error
    return found


class Interrupted(ClickSegError):  # noqa: N818 - no error of anyone
    """The run was ended from outside."""


class Killed(ClickSegError):  # noqa: N818 - no error of anyone
    """The run was ended in a way that it cannot answer to: what is said of it was written when it began."""


class UsageError(ClickSegError, ValueError):
    """The command was called in a way that it does not understand (exit code 2)."""


class InputError(ClickSegError, ValueError):
    """A file or folder that was handed in cannot be used."""


class SeriesError(InputError):
    """A DICOM series does not form the one volume that it would be segmented as."""


class PixelDataError(InputError):
    """The pixels of a DICOM instance cannot be decoded."""


class SuvError(InputError):
    """A PET series lacks what its standardized uptake value is computed from."""


class ClickError(InputError):
    """A click, or a file of clicks, cannot be used with the series at hand."""


class ModelError(ClickSegError, ValueError):
    """A model package is incomplete, inconsistent, unsafe, or not made for this input."""


class SessionError(ClickSegError, ValueError):
    """A session cannot be gone on with."""


class EngineError(ClickSegError, RuntimeError):
    """An inference runtime is missing or failed."""


class DeviceMemoryError(EngineError, MemoryError):
    """A device has too little memory; ``Engine.smaller`` may be what fits."""


class MemoryLimitError(ClickSegError, MemoryError):
    """A run would take more memory than it may."""


class ContainerError(ClickSegError, RuntimeError):
    """A container image cannot be built, or not be run."""


class OutputError(ClickSegError, OSError):
    """A result cannot be written."""


class LibraryError(ClickSegError, ImportError):
    """A library is missing that an extra would bring."""
