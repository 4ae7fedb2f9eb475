"""The state of a session: whether inference and view match the clicks of the history."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from clickseg.clicks.click import ClickSequence


class Validity(Enum):
    """Whether inference and view match the clicks of the history; ``SessionState`` lists the transitions."""

    CLEAN = "clean"
    STALE = "stale"
    IN_DOUBT = "in doubt"


@dataclass(frozen=True, slots=True)
class SessionState:
    """The state from which a session recovers after an error or an interruption at any point.

    - Clean: inference and view match the clicks of the history.
    - Stale: the inference may be for other clicks; the view is complete.
    - In doubt: the view may be updated only in part, or may be for other clicks than those of the history.

    | from         | event                                                            | to       | in               |
    |--------------|------------------------------------------------------------------|----------|------------------|
    |              | opened, the inference matches the clicks of the history          | clean    | ``__init__``     |
    |              | opened, it does not match: a model with a previous mask          | stale    | ``__init__``     |
    | clean        | a step starts to update the inference                            | stale    | ``_apply_steps`` |
    | stale        | the step is stored, the update of the view starts                | in doubt | ``_update_view`` |
    | clean, stale | all windows were run, the update of the view starts              | in doubt | ``_update_view`` |
    | in doubt     | the update of the view is complete                               | clean    | ``_update_view`` |
    | stale        | the step was not stored, the inference is restored               | clean    | ``_recover``     |
    | stale        | the step was stored, but interrupted before the view was updated | in doubt | ``_recover``     |

    A view in doubt is replaced by a new view of the complete label map. ``_recover`` is called before each use.

    Attributes:
        validity: Clean, stale or in doubt.
        clicks: The clicks that the view shows, unless it is in doubt.
    """

    validity: Validity
    clicks: ClickSequence
