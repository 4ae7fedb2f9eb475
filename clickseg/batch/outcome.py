"""What a series has come to on its way through the steps: a value, or the error that stopped it.

One series that fails does not take the others along, so an error of its own travels on as a value.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from clickseg.dicom.series import Candidate
from clickseg.errors import ClickSegError, unexpected
from clickseg.interruption import interruptible

logger = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """One series between two steps.

    Attributes:
        candidate: The series.
        value: What the last step made of it, or the error at which it stopped.
        seconds: How long each step took.
    """

    candidate: Candidate
    value: T | ClickSegError
    seconds: Mapping[str, float]

    def then(self, step: str, function: Callable[[T], S]) -> Outcome[S]:
        """Returns the outcome of one more step; of none, where an earlier one failed."""
        if isinstance(self.value, ClickSegError):
            return Outcome(self.candidate, self.value, self.seconds)
        start = time.perf_counter()
        value: S | ClickSegError
        try:
            with interruptible():
                value = function(self.value)
        except ClickSegError as error:
            value = error
        except Exception as error:  # noqa: BLE001 - whatever befalls one series, the others go on
            value = unexpected(error)
        if isinstance(value, ClickSegError):
            logger.debug("%s failed", step, exc_info=value)
        return Outcome(self.candidate, value, {**self.seconds, step: time.perf_counter() - start})
