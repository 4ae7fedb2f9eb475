"""What all cases say together, and what is written of it, against figures worked out by hand."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest

from clickseg.core.errors import InputError
from clickseg.evaluation.evaluate import Evaluated, Failed
from clickseg.evaluation.plots import draw_dice, draw_heat_map
from clickseg.evaluation.report import COLUMNS, Content, as_csv, as_json, make_page
from clickseg.evaluation.scores import MODEL, Agreement, Curve, Effort, Score
from clickseg.evaluation.summary import spread_of, summarized

PNG = b"\x89PNG\r\n\x1a\n"


def curve(*dice: float, label: str = "lesion", counted_from: int = 0) -> Curve:
    scores = [Score(n, n, 0, Agreement(each, each / 2, 1.5, 0.25), Effort(0.5, 3)) for n, each in enumerate(dice)]
    return Curve(MODEL, label, tuple(scores), counted_from)


def evaluated(name: str, *curves: Curve, fold: int | None = None, modality: str = "PT") -> Evaluated:
    return Evaluated(name, modality, fold, curves, PNG)


CASES = (
    evaluated("a", curve(0.0, 0.82, 0.92), fold=0),
    evaluated("b", curve(0.4, 0.5, 0.84), fold=1),
    evaluated("c", curve(0.9, 0.9, 0.9)),
    evaluated("d", curve(0.2, 0.3, 0.4)),
)


def test_quartiles_are_those_of_all_cases() -> None:
    (summary,) = summarized(CASES)

    assert (summary.method, summary.label, summary.cases) == (MODEL, "lesion", 4)
    assert [step.dice.median for step in summary.steps] == pytest.approx([0.3, 0.66, 0.87])
    assert [step.dice.mean for step in summary.steps] == pytest.approx([0.375, 0.63, 0.765])
    assert (summary.steps[0].dice.lower, summary.steps[0].dice.upper) == pytest.approx((0.15, 0.525))
    assert [step.clicks.median for step in summary.steps] == [0, 1, 2]
    assert summary.dice_auc.mean == pytest.approx(((0.41 + 0.87) / 2 + (0.45 + 0.67) / 2 + 0.9 + 0.3) / 4)


def test_what_is_of_another_modality_is_summed_up_apart() -> None:
    pet, ct = evaluated("a_PET", curve(0.2, 0.9)), evaluated("a_CT", curve(0.4, 0.5), modality="CT")

    found = {each.modality: each for each in summarized([pet, ct])}

    assert {modality: each.cases for modality, each in found.items()} == {"PT": 1, "CT": 1}
    assert [step.dice.median for step in found["CT"].steps] == [0.4, 0.5]


def test_who_never_reaches_a_goal_is_counted_and_takes_more_clicks_than_anybody() -> None:
    (summary,) = summarized(CASES)

    assert [(goal.dice, goal.reached, goal.cases) for goal in summary.goals] == [(0.8, 3, 4), (0.85, 2, 4), (0.9, 2, 4)]
    # to 80 %: 1, 2, 0 and never: the median is between 1 and 2; to 85 %: 2, never, 0, never: between 2 and never
    assert [goal.median for goal in summary.goals] == [1.5, None, None]


def test_the_area_under_the_curve_begins_where_the_protocol_says() -> None:
    assert curve(0.0, 0.6, 1.0).dice_auc == pytest.approx((0.3 + 0.8) / 2)
    assert curve(0.0, 0.6, 1.0, counted_from=1).dice_auc == pytest.approx(0.8)
    assert curve(0.0, 0.6, 1.0, counted_from=1).nsd_auc == pytest.approx(0.4)
    assert curve(0.7, counted_from=1).dice_auc == 0.7  # no click was made


def test_the_effort_is_that_of_steps_with_clicks() -> None:
    first, *others = curve(0.1, 0.2, 0.2).scores
    stalled = replace(others[1], foreground=others[0].foreground, effort=Effort(9.0, 9))

    (summary,) = summarized([evaluated("a", replace(curve(0.1), scores=(first, others[0], stalled)))])
    (still,) = summarized([evaluated("a", curve(0.1, 0.2).without_clicks())])

    assert (summary.seconds.mean, summary.windows.mean) == (0.5, 3)
    assert (still.seconds.mean, still.windows.mean) == (0, 0)


def test_one_case_is_its_own_median() -> None:
    assert spread_of([0.25]) == spread_of([0.25, 0.25])


def test_the_table_has_a_row_for_each_case_class_method_and_step() -> None:
    cases = [*CASES, evaluated('e, "quoted"', curve(0.1, 0.2), curve(0.3, 0.4, label="node"))]

    rows = list(csv.DictReader(io.StringIO(as_csv(cases).decode())))

    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 4 * 3 + 2 * 2
    assert {row["case"] for row in rows} == {"a", "b", "c", "d", 'e, "quoted"'}
    assert rows[1] | {} == {
        "case": "a", "modality": "PT", "fold": "0", "label": "lesion", "method": "model", "step": "1",
        "foreground_clicks": "1", "background_clicks": "0", "dice": "0.82", "nsd": "0.41", "fpv_ml": "1.5",
        "fnv_ml": "0.25", "seconds": "0.5", "windows": "3",
    }  # fmt: skip
    assert rows[-1]["label"] == "node"
    assert rows[6]["fold"] == ""


def test_the_summary_names_each_case_and_what_failed() -> None:
    failed = [Failed("bad", 2, InputError("cannot be read"))]

    content = as_json({"clickseg": "1"}, summarized(CASES), CASES, failed)

    assert content["clickseg"] == "1"
    assert [each["case"] for each in content["cases"]] == ["a", "b", "c", "d"]
    assert content["cases"][0]["clicks_to"] == {"0.80": 1, "0.85": 2, "0.90": 2}
    assert content["cases"][3]["clicks_to"] == {"0.80": None, "0.85": None, "0.90": None}
    assert content["failed"] == [{"case": "bad", "fold": 2, "error": "cannot be read"}]


def test_the_page_needs_nothing_beside_itself_and_escapes_names() -> None:
    evil = '<script>alert("x")</script>\x1b[31m$\\frac'
    cases = [evaluated(evil, curve(0.1, 0.2, 0.3)), *CASES]
    failed = [Failed(evil, None, InputError(f"{evil} cannot be read"))]
    facts = {"model": "m & m 1", "protocol": evil}
    plots = {"Dice over clicks": draw_dice(summarized(cases)), evil: draw_heat_map(cases)}

    page = make_page(Content(facts, summarized(cases), cases, failed, plots)).decode()

    assert "<script" not in page
    assert "\x1b" not in page
    assert 'alert("x")' not in page
    assert "&lt;script&gt;" in page
    assert "m &amp; m 1" in page
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "url(" not in page
    assert "http" not in page


def test_the_worst_cases_are_pictured_and_no_others() -> None:
    cases = [evaluated(f"case {n}", curve(0.5, n / 10)) for n in range(9)]

    page = make_page(Content({"model": "m"}, summarized(cases), cases, (), {})).decode()

    assert re.findall(r"<figcaption>(case \d): Dice ([\d.]+)<", page) == [(f"case {n}", f"0.{n}00") for n in range(6)]


def test_plots_are_the_same_bytes_each_time_and_take_any_name() -> None:
    cases = [evaluated("$x_1 \\frac{", curve(0.1, 0.5)), evaluated("n" * 300, curve(0.2, 0.6))]

    assert draw_heat_map(cases).startswith(PNG)
    assert draw_heat_map(cases) == draw_heat_map(cases)
    assert draw_dice(summarized(cases)) == draw_dice(summarized(cases))
