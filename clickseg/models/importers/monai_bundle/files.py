"""The files of a MONAI Bundle: which configuration is read, and paths that stay inside the folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from clickseg.core.errors import ModelError
from clickseg.core.text import join_names
from clickseg.models.importers.licences import licence_files
from clickseg.models.importers.monai_bundle.components import read_component
from clickseg.models.importers.monai_bundle.config import BundleConfig, Unsupported, is_disabled
from clickseg.models.importers.source_model import ImportNote, ImportOptions, Outcome

CONFIG_KEY = "config"
"""The change that selects a configuration, such as ``inference_segresnet``."""

_EXTENSIONS = (".json", ".yaml", ".yml")
_DEFAULT = "inference"
_DEFAULT_WEIGHTS = "models/model.pt"
_OVERLAY = "_trt"
"""The end of the names of configurations that only change others, for TensorRT."""

_WEIGHTS_SUFFIXES = (".pt", ".pth")
_MAX_PATH = 1024


def metadata_path(folder: Path) -> Path:
    """Returns the path of the metadata."""
    return folder / "configs" / "metadata.json"


def inference_configs(folder: Path) -> tuple[Path, ...]:
    """Returns the configurations for inference in a bundle."""
    paths = sorted((folder / "configs").glob(f"{_DEFAULT}*"))
    return tuple(path for path in paths if path.suffix in _EXTENSIONS and _is_complete(path.stem) and path.is_file())


def all_files(folder: Path) -> tuple[Path, ...]:
    """Returns the files that the translation of a bundle may depend on."""
    weights = sorted(path for path in folder.rglob("*") if path.suffix in _WEIGHTS_SUFFIXES and path.is_file())
    programs = sorted(path for path in (folder / "scripts").glob("*.py") if path.is_file())
    return (metadata_path(folder), *inference_configs(folder), *weights, *programs, *licence_files(folder))


def choose_config(folder: Path, options: ImportOptions) -> tuple[Path, ImportNote]:
    """Returns the configuration that is translated, and why.

    Raises:
        ModelError: The one that was stated does not exist, several exist and none is the default, or it or the
            metadata are a link to a file outside the bundle.
    """
    paths = inference_configs(folder)
    others = f"available: {', '.join(path.name for path in paths)}; select one with --set {CONFIG_KEY}=NAME"
    stated = options.changes.get(CONFIG_KEY)
    wanted = _DEFAULT if stated is None else str(stated)
    found = [path for path in paths if wanted in (path.stem, path.name)]
    if stated is None and not found:
        found = list(paths)
    if len(found) == 1:
        for file in (metadata_path(folder), found[0]):
            path_inside(folder, f"configs/{file.name}", folder.name)
        text = f"configs/{found[0].name}" + (f"; {others}" if len(paths) > 1 else "")
        return found[0], ImportNote(CONFIG_KEY, Outcome.TRANSLATED, text)
    got = join_names([path.name for path in found]) or "none"
    raise ModelError(f"{folder.name}: configs: expected one configuration {wanted!r:.80}, got {got}", hint=others)


def find_weights(config: BundleConfig, folder: Path) -> tuple[Path, ImportNote]:
    """Returns the file with the weights, and which key contains it.

    Raises:
        ModelError: The path cannot be determined, leads outside the bundle, or does not exist.
    """
    key, text, is_enabled = _load_path(config)
    path = weights_inside(folder, text, key or "the weights")
    if not path.is_file():
        raise ModelError(
            f"{folder.name}: the weights {text!r:.200} do not exist",
            hint="bundles in the repository of the MONAI Model Zoo have no weights: download the bundle, for example "
            "with `python -m monai.bundle download NAME`",
        )
    if not key:
        text = f"the configuration has no CheckpointLoader that is not disabled: {text}"
        return path, ImportNote("weights", Outcome.ASSUMED, text)
    if not is_enabled:
        text = f"weights: {path.name}, although _disabled_ is an expression that is not evaluated"
        return path, ImportNote(key, Outcome.ASSUMED, text)
    return path, ImportNote(key, Outcome.TRANSLATED, f"weights: {path.name}")


def weights_inside(folder: Path, text: str, where: str) -> Path:
    """Returns the path of a file of torch in a bundle.

    Raises:
        ModelError: The path leads outside the bundle, or has another suffix: its changes would not be noticed.
    """
    path = path_inside(folder, text, where)
    if path.suffix not in _WEIGHTS_SUFFIXES:
        raise ModelError(f"{where}: expected a file {' or '.join(_WEIGHTS_SUFFIXES)}, got {text!r:.200}")
    return path


def path_inside(folder: Path, text: str, where: str) -> Path:
    """Returns a path in a bundle.

    Raises:
        ModelError: The path is absolute, or leads outside the bundle, also through a link.
    """
    relative = PurePosixPath(text.replace("\\", "/")) if isinstance(text, str) and len(text) <= _MAX_PATH else None
    if relative is None or relative.is_absolute() or ".." in relative.parts or not text.isprintable() or ":" in text:
        raise ModelError(f"{where}: expected a path inside the bundle, got {text!r:.200}")
    path = folder / relative
    try:
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # links that refer to each other
        raise ModelError(f"{where}: {text!r:.200} cannot be read") from error
    if not is_inside:
        raise ModelError(f"{where}: expected a path inside the bundle, got the link {text!r:.200}")
    return path


def _is_complete(stem: str) -> bool:
    return (stem == _DEFAULT or stem.startswith(f"{_DEFAULT}_")) and not stem.endswith(_OVERLAY)


def _load_path(config: BundleConfig) -> tuple[str, str, bool]:
    """Returns the key and the value of the path of the weights, and whether its loader is enabled for certain.

    An empty key is that of the usual path.
    """
    candidates = {"checkpointloader": config.resolve("checkpointloader")} if "checkpointloader" in config else {}
    handlers = config.resolve("handlers") if "handlers" in config else []
    if isinstance(handlers, list):
        candidates |= {f"handlers#{index}": handler for index, handler in enumerate(handlers)}
    for key, value in candidates.items():
        if isinstance(value, dict) and not isinstance(value.get("_target_"), Unsupported) and not is_disabled(value):
            component = read_component(value, key)
            if component.name == "CheckpointLoader":
                path = component.value("load_path", None)
                if not isinstance(path, str):
                    raise component.error(f"load_path: expected a text, got {path!r:.80}")
                return f"{key}#load_path", path, not isinstance(value.get("_disabled_"), Unsupported)
    return "", _DEFAULT_WEIGHTS, True
