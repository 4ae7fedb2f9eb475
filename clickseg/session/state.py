"""The state of a session: whether what it shows belongs to the clicks that it has."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from clickseg.clicks.click import Points


class Validity(Enum):
    """How far inference and view agree with the clicks of the history; ``State`` lists the transitions."""

    CLEAN = "clean"
    STALE = "stale"
    IN_DOUBT = "in doubt"


@dataclass(frozen=True, slots=True)
class State:
    """The one state of a session, from which it goes on after an error or interruption anywhere.

    - Clean: inference and view belong to the clicks of the history.
    - Stale: the inference may belong to other clicks; the view is whole.
    - In doubt: the view may be updated in part only, or belong to other clicks than the history.

    | from         | when                                                   | to       | in               |
    |--------------|--------------------------------------------------------|----------|------------------|
    |              | opened, the inference is at the clicks of the history  | clean    | ``__init__``     |
    |              | opened, it is not: a model with a previous mask        | stale    | ``__init__``     |
    | clean        | a step begins to move the inference                    | stale    | ``_take``        |
    | stale        | the step is kept, the view begins to show it           | in doubt | ``_update_view`` |
    | clean, stale | all windows were run, the view begins to show them     | in doubt | ``_update_view`` |
    | in doubt     | the view shows everything that was decided             | clean    | ``_update_view`` |
    | stale        | the step was not kept, the inference is back           | clean    | ``_catch_up``    |
    | stale        | the step was kept, and interrupted before the view     | in doubt | ``_catch_up``    |

    A view in doubt is replaced by a new one of the whole label map. ``_catch_up`` comes before each use.

    Attributes:
        validity: Which of the three.
        clicks: The clicks that the view shows, unless it is in doubt.
    """

    validity: Validity
    clicks: Points
