"""The time of a run: ``SOURCE_DATE_EPOCH`` if it is set (https://reproducible-builds.org), else the current time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from clickseg.core.errors import UsageError


def read_clock(environ: Mapping[str, str]) -> datetime:
    """Returns the time that a run writes into all its results, without microseconds.

    Args:
        environ: Environment variables. ``SOURCE_DATE_EPOCH`` (seconds since 1970) fixes the time, in UTC.

    Returns:
        The time of ``SOURCE_DATE_EPOCH`` in UTC, else the current local time.

    Raises:
        UsageError: ``SOURCE_DATE_EPOCH`` is not an integer number of seconds, or is beyond the range of dates.
    """
    epoch = environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return datetime.now().astimezone().replace(microsecond=0)
    try:
        return datetime.fromtimestamp(int(epoch), tz=timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"SOURCE_DATE_EPOCH: expected seconds since 1970, got {epoch!r}") from error
