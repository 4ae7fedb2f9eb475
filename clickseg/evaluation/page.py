"""The report as one page of HTML, which needs nothing beside itself; whatever comes from outside is escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from clickseg.evaluation.dataset import Evaluated, Failed
from clickseg.evaluation.scores import MODEL
from clickseg.evaluation.summary import Summary
from clickseg.wording import printable

SHOWN_STEPS: Final = (0, 1, 3, 5, 10)
"""The steps that the tables show, with the last one."""

WORST: Final = 6
"""How many of the worst cases are pictured."""


@dataclass(frozen=True, slots=True)
class Content:
    """What the page shows.

    Attributes:
        facts: What was run, by what it is called.
        summaries: How well each method does.
        cases: Each case.
        failed: The cases that could not be evaluated.
        plots: PNGs by their titles.
    """

    facts: Mapping[str, str]
    summaries: Sequence[Summary]
    cases: Sequence[Evaluated]
    failed: Sequence[Failed]
    plots: Mapping[str, bytes]


def make_page(content: Content) -> bytes:
    """Returns the page, rendered from ``templates/report.html.j2``."""
    environment = Environment(
        loader=PackageLoader("clickseg.evaluation"),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["base64"] = _base64
    worst = sorted(((case, _final_dice(case)) for case in content.cases), key=lambda pair: pair[1])[:WORST]
    page = environment.get_template("report.html.j2").render(
        facts=content.facts,
        failed=content.failed,
        summaries=content.summaries,
        steps=_shown_steps(len(content.summaries[0].steps)),
        plots=content.plots,
        worst=worst,
        cases=content.cases,
    )
    return page.encode()


def _printable(value: Any) -> str:
    """Returns a value as the page shows it, before it is escaped; markup is finished."""
    return value if isinstance(value, Markup) else printable(str(value))


def _base64(data: bytes) -> Markup:
    return Markup(base64.b64encode(data).decode())  # noqa: S704 - its alphabet has nothing to escape


def _final_dice(case: Evaluated) -> float:
    """Returns the Dice coefficient of the model after the last step, of its worst class."""
    return min(curve.scores[-1].agreement.dice for curve in case.curves if curve.method == MODEL)


def _shown_steps(count: int) -> list[int]:
    return sorted({*(step for step in SHOWN_STEPS if step < count), count - 1})
