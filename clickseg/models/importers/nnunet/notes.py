"""What the import did with each key of the files of nnU-Net."""

from __future__ import annotations

import re
from collections.abc import Mapping

from clickseg.models.importers.nnunet.architecture import OLD_KEYS
from clickseg.models.importers.nnunet.checkpoints import TRAINERS_WITH_BATCH_NORM, Checkpoint
from clickseg.models.importers.nnunet.dataset import DATASET, Dataset
from clickseg.models.importers.nnunet.image_grid import grid_notes
from clickseg.models.importers.nnunet.model_files import ModelFiles
from clickseg.models.importers.nnunet.plans import CONFIGURATIONS, INTENSITIES, PLANS, Plans
from clickseg.models.importers.source_model import ImportNote, ImportOptions, Outcome

_TRAINED_BY_PLANS = re.compile(
    r"nnUNetTrainer(_?(\d+epochs?|DA5|ord0|Segord0|DASegOrd0|NoDA|NoMirroring|noDummy2DDA|onlyMirror01|1500ep|warmup|"
    r"CosAnneal|Adan|Adam|VanillaAdam|\den\d|DiceLoss|DiceCELoss|noSmooth|Topk10Loss|LS01|DiceTopK10Loss|CELoss|"
    r"NoDeepSupervision|BN|probabilisticOversampling|0\d\d))*"
)
"""The trainers of nnU-Net whose network is that of the plans, and which do not prepare images in another way."""

_USED_IN_PLANS = (
    *("dataset_name", "image_reader_writer", "label_manager", "transpose_forward", CONFIGURATIONS),
    *INTENSITIES,
)
_USED_IN_CONFIGURATION = (
    *("patch_size", "spacing", "normalization_schemes", "use_mask_for_norm", "preprocessor_name", "architecture"),
    *("resampling_fn_data", "resampling_fn_data_kwargs", "inherits_from", *OLD_KEYS),
    *("resampling_fn_probabilities", "resampling_fn_probabilities_kwargs"),
)
_USED_IN_DATASET = ("channel_names", "modality", "labels", "regions_class_order")


def model_notes(
    files: ModelFiles, dataset: Dataset, plans: Plans, loaded: Mapping[str, Checkpoint], options: ImportOptions
) -> tuple[ImportNote, ...]:
    """Returns the notes about a model, but for those about its inputs.

    Args:
        files: The files.
        dataset: The content of ``dataset.json``.
        plans: The plans for the configuration.
        loaded: The checkpoints, by fold.
        options: What the user states.
    """
    return (
        *grid_notes(plans, options),
        *_plans_notes(plans),
        *_dataset_notes(dataset),
        *_checkpoint_notes(loaded),
        *_postprocessing_notes(files),
    )


def _plans_notes(plans: Plans) -> tuple[ImportNote, ...]:
    where = plans.where
    network = "architecture" if "architecture" in plans.entries else ", ".join(OLD_KEYS)
    others = [f"{PLANS}: {key}" for key in plans.keys if key not in _USED_IN_PLANS]
    others += [f"{where}#{key}" for key in plans.entries if key not in _USED_IN_CONFIGURATION]
    crop = "crop: the box of the voxels that are not 0; scaling and z-scores depend on its voxels, before resampling"
    return (
        ImportNote(f"{where}#{network}", Outcome.TRANSLATED, "network_def"),
        ImportNote(f"{where}#normalization_schemes, use_mask_for_norm", Outcome.TRANSLATED, "inputs.scaling"),
        *(
            ImportNote(f"{PLANS}: {key}", Outcome.TRANSLATED, "inputs.scaling")
            for key in plans.keys
            if key in INTENSITIES
        ),
        ImportNote(f"{where}#preprocessor_name", Outcome.TRANSLATED, crop),
        ImportNote(f"{PLANS}: label_manager", Outcome.TRANSLATED, "activation, classes"),
        ImportNote(", ".join(others), Outcome.IGNORED, "for training, or text: the inference does not use them"),
    )


def _dataset_notes(dataset: Dataset) -> tuple[ImportNote, ...]:
    notes = [
        ImportNote(
            f"{DATASET}: {dataset.channel_key}", Outcome.TRANSLATED, "inputs: name, modality, unit, descriptions"
        ),
        ImportNote(f"{DATASET}: labels", Outcome.TRANSLATED, "classes"),
    ]
    if dataset.labels.are_regions:
        text = (
            "overwrite: regions overlap, and a later one overwrites the earlier ones: the class of a region is what "
            "remains of it; for complete regions that overlap: --set overwrite=false"
        )
        notes.append(ImportNote(f"{DATASET}: regions_class_order", Outcome.TRANSLATED, text))
    others = [key[:64] for key in dataset.keys if key not in _USED_IN_DATASET]
    if others:
        text = "about the training data: the inference does not use them"
        notes.append(ImportNote(f"{DATASET}: {', '.join(others[:32])}", Outcome.IGNORED, text))
    return tuple(notes)


def _checkpoint_notes(loaded: Mapping[str, Checkpoint]) -> tuple[ImportNote, ...]:
    first = next(iter(loaded.values()))
    sums = "nnU-Net adds the logits of windows in f16, ClickSeg in f32: a few voxels have another label"
    folds = f"network_def: the mean of {len(loaded)} networks" if len(loaded) > 1 else "network_def: one network"
    return (
        ImportNote(f"folds {', '.join(loaded)}", Outcome.TRANSLATED, f"{folds}; select others with --set folds=0,1"),
        ImportNote("inference_allowed_mirroring_axes", Outcome.TRANSLATED, "mirror_axes"),
        _trainer_note(first.trainer),
        ImportNote(", ".join(first.others), Outcome.IGNORED, "the state of the training"),
        ImportNote("window", Outcome.DIFFERENT, sums),
    )


def _trainer_note(trainer: str) -> ImportNote:
    name = trainer[:80] or "none"
    if trainer in TRAINERS_WITH_BATCH_NORM:
        return ImportNote("trainer_name", Outcome.TRANSLATED, f"{name}: network_def with BatchNorm3d")
    if _TRAINED_BY_PLANS.fullmatch(trainer):
        return ImportNote("trainer_name", Outcome.TRANSLATED, f"{name}: the network is that of the plans")
    text = (
        f"the trainer {name} is not one of nnU-Net: its code, which is not in the folder, is assumed to change neither "
        "the network of the plans nor how images are prepared"
    )
    return ImportNote("trainer_name", Outcome.ASSUMED, text)


def _postprocessing_notes(files: ModelFiles) -> tuple[ImportNote, ...]:
    """Returns the note about the rules of postprocessing that nnU-Net may have found in the cross-validation."""
    folders = [] if files.folder else sorted(files.path.glob("crossval_results_folds_*/postprocessing.pkl"))
    text = "a program, which is not loaded; nnU-Net's prediction does not apply it either"
    return tuple(ImportNote(f"{path.parent.name[:64]}/{path.name}", Outcome.IGNORED, text) for path in folders[:8])
