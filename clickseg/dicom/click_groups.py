"""Clicks in a DICOM SR: one TID 1410 group each, a point in the patient whose purpose is to be a seed point."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from highdicom import sr
from pydicom.sr.coding import Code

from clickseg.clicks.click import Click, Clicks
from clickseg.dicom.codes import CLICK_ORDER, CLICK_POLARITY, SEED_POINT
from clickseg.dicom.segmentation import to_code
from clickseg.models.spec import ClassSpec

_SCHEME = "99CLICKSEG"


def click_groups(
    clicks: Clicks, frame_of_reference_uid: str, classes: Mapping[str, ClassSpec], tracking: Mapping[str, str]
) -> list[sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    """Returns a group for each click.

    Args:
        clicks: The clicks, whose labels become tracking identifiers.
        frame_of_reference_uid: The frame of reference of the series.
        classes: The class of each label, for its codes, where it is one of a model.
        tracking: For each label the tracking unique identifier that its segment has too.
    """
    return [
        _click_group(click, order, frame_of_reference_uid, classes.get(click.label), tracking[click.label])
        for order, click in enumerate(clicks.points, 1)
    ]


def _click_group(
    click: Click, order: int, frame_of_reference_uid: str, found: ClassSpec | None, tracking_uid: str
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    polarity = click.polarity.value
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=tracking_uid, identifier=click.label or "click"),
        referenced_region=sr.ImageRegion3D("POINT", np.array([click.position_mm]), frame_of_reference_uid),
        finding_category=to_code(found.category) if found else None,
        finding_type=to_code(found.type) if found else None,
        geometric_purpose=SEED_POINT,
        qualitative_evaluations=[
            sr.QualitativeEvaluation(CLICK_POLARITY, Code(polarity, _SCHEME, polarity.capitalize())),
            sr.QualitativeEvaluation(CLICK_ORDER, Code(str(order), _SCHEME, f"Click {order}")),
        ],
    )
