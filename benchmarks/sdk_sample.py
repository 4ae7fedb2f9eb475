"""A sample application with the operators of the SDK, torch and MONAI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from monai.deploy.operators.dicom_seg_writer_operator import DICOMSegmentationWriterOperator, SegmentDescription
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
from monai.deploy.operators.dicom_series_to_volume_operator import DICOMSeriesToVolumeOperator
from monai.deploy.operators.monai_seg_inference_operator import InfererType, MonaiSegInferenceOperator
from monai.transforms import Activationsd, AsDiscreted, Compose, EnsureChannelFirstd, Invertd, LoadImaged, Spacingd
from pydicom.sr.codedict import codes

_IMAGE, _PRED = "image", "pred"


class SampleApplication(Application):  # type: ignore[misc]
    """Loads DICOM, selects a series, converts it to a volume, segments it, and writes a SEG."""

    def compose(self) -> None:
        """Connects the operators."""
        context = Application.init_app_context(self.argv)
        loader = DICOMDataLoaderOperator(
            self, CountCondition(self, 1), input_folder=Path(context.input_path), name="loader"
        )
        selector = DICOMSeriesSelectorOperator(self, rules="", name="selector")
        volume = DICOMSeriesToVolumeOperator(self, name="volume")
        network = _make_network_operator(self, context)
        writer = DICOMSegmentationWriterOperator(
            self,
            segment_descriptions=[SegmentDescription("hook", codes.SCT.Organ, codes.SCT.Liver, "sample", "1")],
            output_folder=Path(context.output_path),
            name="writer",
        )
        series = {("study_selected_series_list", "study_selected_series_list")}
        self.add_flow(loader, selector, {("dicom_study_list", "dicom_study_list")})
        self.add_flow(selector, volume, series)
        self.add_flow(volume, network, {("image", "image")})
        self.add_flow(selector, writer, series)
        self.add_flow(network, writer, {("seg_image", "seg_image")})


class _NetworkOperator(MonaiSegInferenceOperator):  # type: ignore[misc]
    """Runs the network on the model grid that this benchmark uses for ClickSeg."""

    def pre_process(self, data: Any, *_: Any, **__: Any) -> Compose:
        """Returns the transforms before inference."""
        spacing = Spacingd(_IMAGE, pixdim=(3.0, 3.0, 5.0), mode="bilinear")
        return Compose([LoadImaged(_IMAGE, reader=data), EnsureChannelFirstd(_IMAGE), spacing])

    def post_process(self, data: Any, *_: Any, **__: Any) -> Compose:
        """Returns the transforms after inference."""
        inverse = Invertd(_PRED, transform=data, orig_keys=_IMAGE, nearest_interp=False, to_tensor=True)
        return Compose([Activationsd(_PRED, softmax=True), inverse, AsDiscreted(_PRED, argmax=True)])


def _make_network_operator(application: Application, context: Any) -> _NetworkOperator:
    return _NetworkOperator(
        application,
        roi_size=(64, 64, 32),
        pre_transforms=None,
        post_transforms=None,
        overlap=0.25,
        app_context=context,
        inferer=InfererType.SLIDING_WINDOW,
        model_path=Path(context.model_path),
        name="network",
    )


if __name__ == "__main__":
    SampleApplication().run()
