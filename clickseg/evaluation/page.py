"""The report as one page of HTML, which needs nothing beside itself; whatever comes from outside is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clickseg.evaluation.dataset import Evaluated, Failed
from clickseg.evaluation.scores import MODEL, Curve
from clickseg.evaluation.summary import Spread, Summary
from clickseg.wording import printable

SHOWN_STEPS: Final = (0, 1, 3, 5, 10)
"""The steps that the tables show, with the last one."""

WORST: Final = 6
"""How many of the worst cases are pictured."""

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em; color: #1c1c1c; }
table { border-collapse: collapse; margin: 0.5em 0 1.5em; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { border-bottom: 1px solid #ddd; padding: 0.25em 0.7em; text-align: right; vertical-align: top; }
th:first-child, td:first-child, .facts td { text-align: left; overflow-wrap: anywhere; }
small { color: #666; display: block; }
figure { display: inline-block; margin: 0 1em 1em 0; vertical-align: top; max-width: 322px; overflow-wrap: anywhere; }
figure.wide { max-width: 100%; }
img { max-width: 100%; }
.truth { color: #1b9e3b; } .found { color: #e02020; }
"""


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
    """Returns the page."""
    sections = (
        _facts(content.facts),
        _failed(content.failed),
        _summary(content.summaries),
        *(_figure(png, title, "wide") for title, png in content.plots.items()),
        _worst(content.cases),
        _all_cases(content.cases),
    )
    head = f'<meta charset="utf-8"><title>ClickSeg evaluation</title><style>{_STYLE}</style>'
    body = f"<h1>Evaluation of {_text(content.facts['model'])}</h1>{''.join(sections)}"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'.encode()


def _facts(facts: Mapping[str, str]) -> str:
    rows = (f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in facts.items())
    return f'<table class="facts">{"".join(rows)}</table><p>Research software. Not for clinical use.</p>'


def _failed(failed: Sequence[Failed]) -> str:
    if not failed:
        return ""
    rows = ([_text(each.name), _text(str(each.error))] for each in failed)
    return f"<h2>Cases that could not be evaluated</h2>{_table(['case', 'error'], rows)}"


def _summary(summaries: Sequence[Summary]) -> str:
    shown = _shown(len(summaries[0].steps))
    goals = summaries[0].goals
    header = [
        "median <small>quartiles, mean</small>",
        *(f"Dice, step {step}" for step in shown),
        "AUC Dice",
        "AUC NSD",
        "NSD",
        "FPV ml",
        "FNV ml",
        *(f"clicks to {goal.dice:.0%}" for goal in goals),
        "seconds a step",
        "windows a step",
    ]
    note = (
        "<p>NSD, false positive and false negative volume are those after the last step; seconds and windows those of "
        "all steps with clicks. Clicks to a Dice coefficient: the median over all cases, and in how many it was "
        "reached.</p>"
    )
    return f"<h2>Summary</h2>{_table(header, (_summary_row(each, shown) for each in summaries))}{note}"


def _summary_row(summary: Summary, shown: Sequence[int]) -> list[str]:
    last = summary.steps[-1]
    goals = (
        f"{'not reached' if goal.median is None else f'{goal.median:g}'}<small>{goal.reached} of {goal.cases}</small>"
        for goal in summary.goals
    )
    of = f"{_text(summary.label)}, {_text(summary.modality)}, {summary.cases} cases"
    return [
        f"{_text(summary.method)}<small>{of}</small>",
        *(_spread(summary.steps[step].dice, 3) for step in shown),
        _spread(summary.dice_auc, 3),
        _spread(summary.nsd_auc, 3),
        _spread(last.nsd, 3),
        _spread(last.fpv_ml, 1),
        _spread(last.fnv_ml, 1),
        *goals,
        _spread(summary.seconds, 2),
        _spread(summary.windows, 0),
    ]


def _worst(cases: Sequence[Evaluated]) -> str:
    worst = sorted(cases, key=lambda case: _final_dice(case))[:WORST]
    pictures = "".join(
        _figure(case.picture, f"{printable(case.name)}: Dice {_final_dice(case):.3f}", "") for case in worst
    )
    legend = (
        'The slice with the most errors after the last step: <span class="truth">what is there</span>, '
        '<span class="found">what was found</span> (dashed).'
    )
    return f"<h2>Worst cases</h2><p>{legend}</p>{pictures}"


def _all_cases(cases: Sequence[Evaluated]) -> str:
    shown = _shown(len(cases[0].curves[0].scores))
    header = ["case", "modality", "fold", "class", "method", *(f"Dice, step {step}" for step in shown), "AUC Dice"]
    rows = (_case_row(case, curve, shown) for case in cases for curve in case.curves)
    return f"<h2>Cases</h2>{_table(header, rows)}"


def _case_row(case: Evaluated, curve: Curve, shown: Sequence[int]) -> list[str]:
    return [
        _text(case.name),
        _text(case.modality),
        "" if case.fold is None else str(case.fold),
        _text(curve.label),
        _text(curve.method),
        *(f"{curve.scores[step].agreement.dice:.3f}" for step in shown),
        f"{curve.dice_auc:.3f}",
    ]


def _final_dice(case: Evaluated) -> float:
    """Returns the Dice coefficient of the model after the last step, of its worst class."""
    return min(curve.scores[-1].agreement.dice for curve in case.curves if curve.method == MODEL)


def _shown(count: int) -> list[int]:
    return sorted({*(step for step in SHOWN_STEPS if step < count), count - 1})


def _spread(spread: Spread, digits: int) -> str:
    median, lower, upper, mean = (
        f"{value:.{digits}f}" for value in (spread.median, spread.lower, spread.upper, spread.mean)
    )
    return f"{median}<small>{lower} to {upper}, {mean}</small>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of cells that are HTML already."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f"<table><thead><tr>{''.join(f'<th>{cell}</th>' for cell in header)}</tr></thead><tbody>{body}</tbody></table>"
    )


def _figure(png: bytes, caption: str, kind: str) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    said = _text(caption)
    return f'<figure class="{kind}"><img src="{source}" alt="{said}"><figcaption>{said}</figcaption></figure>'


def _text(value: Any) -> str:
    return html.escape(printable(str(value)))
