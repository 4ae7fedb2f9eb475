"""Statistics over all cases, and the files of the report, compared with values computed by hand."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest

from clickseg.core.errors import InputError
from clickseg.evaluation.evaluate import EvaluatedCase, FailedCase
from clickseg.evaluation.plots import draw_dice, draw_heat_map
from clickseg.evaluation.report import COLUMNS, PageContent, make_csv, make_json, make_page
from clickseg.evaluation.scores import MODEL, Curve, Metrics, Score, StepCost
from clickseg.evaluation.summary import compute_distribution, summarize

PNG = b"\x89PNG\r\n\x1a\n"


def make_curve(*dice: float, label: str = "lesion", auc_from_step: int = 0) -> Curve:
    scores = [Score(n, n, 0, Metrics(value, value / 2, 1.5, 0.25), StepCost(0.5, 3)) for n, value in enumerate(dice)]
    return Curve(MODEL, label, tuple(scores), auc_from_step)


def make_case(name: str, *curves: Curve, fold: int | None = None, modality: str = "PT") -> EvaluatedCase:
    return EvaluatedCase(name, modality, fold, curves, PNG)


CASES = (
    make_case("a", make_curve(0.0, 0.82, 0.92), fold=0),
    make_case("b", make_curve(0.4, 0.5, 0.84), fold=1),
    make_case("c", make_curve(0.9, 0.9, 0.9)),
    make_case("d", make_curve(0.2, 0.3, 0.4)),
)


def test_quartiles_are_those_of_all_cases() -> None:
    (summary,) = summarize(CASES)

    assert (summary.method, summary.label, summary.case_count) == (MODEL, "lesion", 4)
    assert [step.dice.median for step in summary.steps] == pytest.approx([0.3, 0.66, 0.87])
    assert [step.dice.mean for step in summary.steps] == pytest.approx([0.375, 0.63, 0.765])
    assert (summary.steps[0].dice.q1, summary.steps[0].dice.q3) == pytest.approx((0.15, 0.525))
    assert [step.clicks.median for step in summary.steps] == [0, 1, 2]
    assert summary.dice_auc.mean == pytest.approx(((0.41 + 0.87) / 2 + (0.45 + 0.67) / 2 + 0.9 + 0.3) / 4)


def test_each_modality_has_its_own_summary() -> None:
    pet, ct = make_case("a_PET", make_curve(0.2, 0.9)), make_case("a_CT", make_curve(0.4, 0.5), modality="CT")

    summaries = {summary.modality: summary for summary in summarize([pet, ct])}

    assert {modality: summary.case_count for modality, summary in summaries.items()} == {"PT": 1, "CT": 1}
    assert [step.dice.median for step in summaries["CT"].steps] == [0.4, 0.5]


def test_a_case_that_never_reaches_a_dice_target_has_more_clicks_than_any_other() -> None:
    (summary,) = summarize(CASES)

    assert [(noc.dice, noc.reached, noc.case_count) for noc in summary.noc] == [(0.8, 3, 4), (0.85, 2, 4), (0.9, 2, 4)]
    # 80 %: 1, 2, 0, never: the median is between 1 and 2; 85 %: 2, never, 0, never: between 2 and never
    assert [noc.median for noc in summary.noc] == [1.5, None, None]


def test_the_area_under_the_curve_begins_at_the_step_of_the_protocol() -> None:
    assert make_curve(0.0, 0.6, 1.0).dice_auc == pytest.approx((0.3 + 0.8) / 2)
    assert make_curve(0.0, 0.6, 1.0, auc_from_step=1).dice_auc == pytest.approx(0.8)
    assert make_curve(0.0, 0.6, 1.0, auc_from_step=1).nsd_auc == pytest.approx(0.4)
    assert make_curve(0.7, auc_from_step=1).dice_auc == 0.7  # without clicks


def test_seconds_and_windows_are_those_of_steps_with_clicks() -> None:
    first, second, third = make_curve(0.1, 0.2, 0.2).scores
    without_click = replace(third, foreground_clicks=second.foreground_clicks, cost=StepCost(9.0, 9))

    (summary,) = summarize([make_case("a", replace(make_curve(0.1), scores=(first, second, without_click)))])
    (without_clicks,) = summarize([make_case("a", make_curve(0.1, 0.2).without_clicks())])

    assert (summary.seconds.mean, summary.windows.mean) == (0.5, 3)
    assert (without_clicks.seconds.mean, without_clicks.windows.mean) == (0, 0)


def test_one_case_is_its_own_median() -> None:
    assert compute_distribution([0.25]) == compute_distribution([0.25, 0.25])


def test_the_table_has_a_row_for_each_case_class_method_and_step() -> None:
    cases = [*CASES, make_case('e, "quoted"', make_curve(0.1, 0.2), make_curve(0.3, 0.4, label="node"))]

    rows = list(csv.DictReader(io.StringIO(make_csv(cases).decode())))

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


def test_the_summary_contains_each_case_and_the_failed_cases() -> None:
    failed = [FailedCase("bad", 2, InputError("cannot be read"))]

    content = make_json({"clickseg": "1"}, summarize(CASES), CASES, failed)

    assert content["clickseg"] == "1"
    assert [case["case"] for case in content["cases"]] == ["a", "b", "c", "d"]
    assert content["cases"][0]["noc"] == {"0.80": 1, "0.85": 2, "0.90": 2}
    assert content["cases"][3]["noc"] == {"0.80": None, "0.85": None, "0.90": None}
    assert content["failed"] == [{"case": "bad", "fold": 2, "error": "cannot be read"}]


def test_the_page_is_self_contained_and_escapes_names() -> None:
    evil = '<script>alert("x")</script>\x1b[31m$\\frac'
    cases = [make_case(evil, make_curve(0.1, 0.2, 0.3)), *CASES]
    failed = [FailedCase(evil, None, InputError(f"{evil} cannot be read"))]
    facts = {"model": "m & m 1", "protocol": evil}
    plots = {"Dice by step": draw_dice(summarize(cases)), evil: draw_heat_map(cases)}

    page = make_page(PageContent(facts, summarize(cases), cases, failed, plots)).decode()

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


def test_only_the_cases_with_the_lowest_dice_have_a_picture() -> None:
    cases = [make_case(f"case {n}", make_curve(0.5, n / 10)) for n in range(9)]

    page = make_page(PageContent({"model": "m"}, summarize(cases), cases, (), {})).decode()

    assert re.findall(r"<figcaption>(case \d): Dice ([\d.]+)<", page) == [(f"case {n}", f"0.{n}00") for n in range(6)]


def test_plots_have_the_same_bytes_each_time_and_accept_any_name() -> None:
    cases = [make_case("$x_1 \\frac{", make_curve(0.1, 0.5)), make_case("n" * 300, make_curve(0.2, 0.6))]

    assert draw_heat_map(cases).startswith(PNG)
    assert draw_heat_map(cases) == draw_heat_map(cases)
    assert draw_dice(summarize(cases)) == draw_dice(summarize(cases))
