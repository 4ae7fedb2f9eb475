"""Hints that several errors share. Every error of a series has a hint."""

from __future__ import annotations

INVALID_VALUE_HINT = "correct the value where it was entered, exported or de-identified, or use the original images"
MISSING_VALUE_HINT = "export the series with this attribute, which de-identification often removes"
CLOCK_HINT = (
    "correct the clock or the injection time at the modality; a de-identification must shift all dates and times of a "
    "study by the same amount"
)
