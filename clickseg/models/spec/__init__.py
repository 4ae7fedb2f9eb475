"""The definition of a model: the ``clickseg`` section of a MONAI Bundle's ``metadata.json``, one module for each part.

``model`` has the complete section; its parts are imported from here.
"""

from clickseg.models.spec.classes import ClassSpec
from clickseg.models.spec.fields import Code
from clickseg.models.spec.grid import CropSpec, GridSpec
from clickseg.models.spec.guidance import ClickChannel, GuidanceSpec, MaskChannel
from clickseg.models.spec.images import (
    AlternativeSpec,
    GaussianSmoothing,
    ImageSpec,
    InputSpec,
    PercentileScaling,
    PointwiseScaling,
    RangeScaling,
    Scaling,
    SigmoidScaling,
    SquareRootScaling,
    TanhScaling,
    ZScoreScaling,
)
from clickseg.models.spec.model import ModelSpec
from clickseg.models.spec.postprocessing import PostprocessingSpec
from clickseg.models.spec.window import WindowSpec

__all__ = [
    "AlternativeSpec",
    "ClassSpec",
    "ClickChannel",
    "Code",
    "CropSpec",
    "GaussianSmoothing",
    "GridSpec",
    "GuidanceSpec",
    "ImageSpec",
    "InputSpec",
    "MaskChannel",
    "ModelSpec",
    "PercentileScaling",
    "PointwiseScaling",
    "PostprocessingSpec",
    "RangeScaling",
    "Scaling",
    "SigmoidScaling",
    "SquareRootScaling",
    "TanhScaling",
    "WindowSpec",
    "ZScoreScaling",
]
