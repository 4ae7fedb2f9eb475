"""Patterns of series descriptions: what they match, and how specific a match is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from clickseg.batch.description_patterns import describe, match_specificity
from clickseg.dicom.files import scan
from clickseg.dicom.series_files import group_by_series
from tests.helpers import phantoms


@pytest.mark.parametrize(
    ("patterns", "description", "specificity"),
    [
        (["*t1*"], "AX T1 FSE", 2),
        (["T1*"], "AX T1 FSE", None),
        (["T1*"], " t1 fse", 2),
        (["*t1*", "*t1*post*"], "T1 POST", 6),
        (["* ce *"], "t1_mprage_sag_ce", 2),
        (["* ce *"], "t1_space_sag", None),
        (["*{t1,mprage}*{gd,gad}*"], "MPRAGE GAD", 9),
        (["*t[12]*"], "T2", 2),
        (["t?"], "T2", 1),
        (["*t2*", "!*t2[*]*"], "AX T2*", None),
        (["*t2*", "!*t2[*]*"], "AX T2", 2),
        (["!*scout*"], "AX T2", 0),
        (["!*scout*"], "SCOUT", None),
        ([], "anything", 0),
        ([], "", 0),
        (["*"], "", 0),
        (["*+c *"], "T1+C", 2),
        (["*ä*"], "NATIV Ä", 1),
    ],
)
def test_a_pattern_matches_the_description_or_its_words(
    patterns: list[str], description: str, specificity: int | None
) -> None:
    assert match_specificity(patterns, description) == specificity


def test_a_hostile_pattern_or_description_takes_little_time() -> None:
    begun = time.perf_counter()

    assert match_specificity(["*a" * 120 + "b"], "a" * 100_000) is None
    assert match_specificity(["{a,b}" * 50], "ab" * 25) is None
    assert match_specificity(["{,*}" * 60], "ab") is not None

    assert time.perf_counter() - begun < 10


def test_without_a_description_the_protocol_counts(tmp_path: Path) -> None:
    def describe_after(**texts: str) -> str:
        def set_texts(dataset) -> None:
            for keyword in ("SeriesDescription", "ProtocolName"):
                setattr(dataset, keyword, texts.get(keyword, ""))

        phantoms.change(folder, set_texts)
        (files,) = group_by_series(scan(folder).instances)
        return describe(files)

    folder = phantoms.write(tmp_path, phantoms.distinct_volume(phantoms.oblique_geometry()), "MR")

    assert describe_after(SeriesDescription="T1", ProtocolName="T2") == "T1"
    assert describe_after(ProtocolName="T2") == "T2"
    assert describe_after() == ""
