"""All runtimes give the same logits, and reject packages that are invalid or unsafe."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import pickle
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from clickseg.core.errors import EngineError, ModelError
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.engines.network import build_network
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.weights_files import write_weight_digests
from tests.helpers import phantoms, runs
from tests.helpers.networks import NETWORK, SECTION, make_exported_package, make_package
from tests.helpers.oracles import nets, torch


@pytest.fixture
def model(tmp_path: Path) -> ModelPackage:
    """A package with weights for torch and OpenVINO."""
    return make_exported_package(tmp_path / "unet")


@pytest.fixture
def batch() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, 3, 8, 8, 8)).astype(np.float32)


def test_openvino_gives_the_logits_of_torch(model: ModelPackage, batch: np.ndarray) -> None:
    torch_logits = make_engine(model, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32)).infer(batch)
    openvino_logits = make_engine(model, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32)).infer(batch)

    assert openvino_logits.shape == (1, 2, 8, 8, 8)
    np.testing.assert_allclose(openvino_logits, torch_logits, atol=1e-4)


@pytest.mark.parametrize("runtime", [Runtime.OPENVINO, Runtime.TORCH])
def test_an_engine_is_reproducible(model: ModelPackage, batch: np.ndarray, runtime: Runtime) -> None:
    engine = make_engine(model, RuntimeSettings(runtime, "cpu", Precision.AUTO))

    first = engine.infer(batch).copy()
    engine.infer(batch * 2)

    assert np.array_equal(engine.infer(batch), first)
    assert np.array_equal(make_engine(model, RuntimeSettings(runtime, "cpu", Precision.AUTO)).infer(batch), first)


@pytest.mark.parametrize("runtime", [Runtime.OPENVINO, Runtime.TORCH])
def test_closing_an_engine_frees_its_network(model: ModelPackage, batch: np.ndarray, runtime: Runtime) -> None:
    engine = make_engine(model, RuntimeSettings(runtime, "cpu", Precision.F32))
    engine.infer(batch)
    network = weakref.ref(engine._network)

    engine.close()

    gc.collect()
    assert network() is None


@pytest.mark.parametrize(("runtime", "shape"), [(Runtime.OPENVINO, (1, 3, 4, 4, 4)), (Runtime.TORCH, (1, 2, 8, 8, 8))])
def test_a_runtime_that_fails_is_an_engine_error(model: ModelPackage, runtime: Runtime, shape: tuple[int, ...]) -> None:
    engine = make_engine(model, RuntimeSettings(runtime, "cpu", Precision.F32))

    with pytest.raises(EngineError, match=r"failed .*with input \["):
        engine.infer(np.zeros(shape, np.float32))


@pytest.mark.parametrize("runtime", [Runtime.OPENVINO, Runtime.TORCH])
def test_a_network_that_returns_a_list_gives_its_main_output(
    tmp_path: Path, batch: np.ndarray, runtime: Runtime
) -> None:
    arguments = {"in_channels": 3, "out_channels": 2, "init_filters": 8, "input_image_size": [32] * 3, "vae_nz": 4}
    package = make_exported_package(tmp_path / "vae", {"_target_": "SegResNetVAE", **arguments})
    network = nets.SegResNetVAE(**arguments)
    network.load_state_dict(torch.load(package.path / "models" / "model.pt", weights_only=True))

    logits = make_engine(package, RuntimeSettings(runtime, "cpu", Precision.F32)).infer(batch)

    with torch.no_grad():
        expected, _ = network.eval()(torch.from_numpy(batch))
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4)


def test_a_torchscript_that_returns_a_tuple_gives_its_first_output(tmp_path: Path, batch: np.ndarray) -> None:
    network = TwoOutputs(build_network(make_package(tmp_path / "unet"))).eval()
    path = tmp_path / "organ.ts"
    script = torch.jit.trace(network, torch.from_numpy(batch))
    script.save(str(path), _extra_files={"metadata.json": json.dumps({"clickseg": SECTION}).encode()})

    logits = make_engine(load_package(path), RuntimeSettings(Runtime.AUTO, "cpu", Precision.F32)).infer(batch)

    with torch.no_grad():
        np.testing.assert_allclose(logits, network(torch.from_numpy(batch))[0].numpy(), atol=1e-5)


class TwoOutputs(torch.nn.Module):
    """A network that returns its logits and other values."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.network(windows)
        return logits, logits.mean()


@pytest.mark.parametrize("error", [AssertionError, ImportError, IndexError, TypeError, ValueError, ZeroDivisionError])
def test_any_error_of_a_network_is_an_engine_error(
    model: ModelPackage, batch: np.ndarray, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(self: object, windows: object) -> None:
        raise error("expected other windows")

    engine = make_engine(model, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))
    monkeypatch.setattr(nets.UNet, "forward", fail)

    with pytest.raises(EngineError, match=r"torch failed on cpu with input \[1, 3, 8, 8, 8\]: expected other windows"):
        engine.infer(batch)


def test_bf16_is_close_to_f32_if_the_processor_supports_it(model: ModelPackage, batch: np.ndarray) -> None:
    exact = make_engine(model, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32)).infer(batch).copy()
    fastest = make_engine(model, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.AUTO))
    if fastest.precision == "f32":
        with pytest.raises(EngineError, match="supports f32, int8 on this processor, not bf16"):
            make_engine(model, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.BF16))
        return
    engine = make_engine(model, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.BF16))
    difference = np.linalg.norm(engine.infer(batch) - exact) / np.linalg.norm(exact)

    assert engine.precision == "bf16"
    assert difference < 0.05


def test_torch_computes_in_bf16_on_request(model: ModelPackage, batch: np.ndarray) -> None:
    exact = make_engine(model, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32)).infer(batch)
    engine = make_engine(model, RuntimeSettings(Runtime.TORCH, "cpu", Precision.BF16))

    logits = engine.infer(batch)

    assert engine.precision == "bf16"
    assert logits.dtype == np.float32
    assert 0 < np.linalg.norm(logits - exact) / np.linalg.norm(exact) < 0.05


@pytest.mark.parametrize(("instruction", "precision"), [("amx_bf16", "bf16"), ("avx512_bf16", "bf16"), ("avx2", "f32")])
def test_by_default_torch_computes_in_bf16_if_the_processor_has_bf16_instructions(
    model: ModelPackage, monkeypatch: pytest.MonkeyPatch, instruction: str, precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instruction: True, "amx_fp16": False})

    assert make_engine(model, RuntimeSettings(Runtime.TORCH, "cpu", Precision.AUTO)).precision == precision


def test_the_fingerprint_contains_everything_that_the_bits_depend_on(model: ModelPackage) -> None:
    for runtime in (Runtime.OPENVINO, Runtime.TORCH):
        fingerprint = make_engine(model, RuntimeSettings(runtime, "cpu", Precision.F32)).describe()
        assert {"engine", "version", "device", "processor", "precision", "threads", "batch"} == set(fingerprint)
        assert json.dumps(fingerprint)


def test_auto_is_openvino_on_the_cpu_and_torch_for_a_package_without_openvino_weights(
    tmp_path: Path, model: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clickseg.inference.engines.choice.has_cuda_device", lambda: False)

    assert make_engine(model, RuntimeSettings(Runtime.AUTO, "auto", Precision.F32)).describe()["engine"] == "openvino"
    torch_only = make_package(tmp_path / "torch_only")
    assert make_engine(torch_only, RuntimeSettings(Runtime.AUTO, "auto", Precision.F32)).describe()["engine"] == "torch"


def test_auto_is_torch_on_a_cuda_device(model: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clickseg.inference.engines.choice.has_cuda_device", lambda: True)

    assert make_engine(model, RuntimeSettings(Runtime.AUTO, "auto", Precision.F32)).describe()["engine"] == "torch"


def test_a_missing_device_is_an_error(model: ModelPackage) -> None:
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is available")
    with pytest.raises(EngineError, match="torch finds no CUDA device"):
        make_engine(model, RuntimeSettings(Runtime.TORCH, "cuda", Precision.AUTO))
    with pytest.raises(EngineError, match="OpenVINO runs only on the CPU, not on cuda"):
        make_engine(model, RuntimeSettings(Runtime.OPENVINO, "cuda", Precision.AUTO))


def test_a_package_without_weights_is_an_error(tmp_path: Path) -> None:
    phantoms.write_package(tmp_path / "bare", SECTION, NETWORK)

    with pytest.raises(EngineError, match=r"model bare: no weights that can be loaded"):
        make_engine(load_package(tmp_path / "bare"), RuntimeSettings(Runtime.AUTO, "cpu", Precision.AUTO))


@pytest.mark.parametrize("name", ["model.bin", "model.xml", "model.pt"])
def test_weights_with_another_digest_are_an_error(model: ModelPackage, name: str) -> None:
    path = model.path / "models" / name
    path.write_bytes(path.read_bytes() + b" ")

    with pytest.raises(ModelError, match=rf"{name}: expected SHA-256 [0-9a-f]{{64}}, got [0-9a-f]{{64}}"):
        make_engine(
            model,
            RuntimeSettings(Runtime.TORCH if name == "model.pt" else Runtime.OPENVINO, "cpu", Precision.F32),
        )


def test_weights_without_a_digest_in_the_metadata_are_an_error(tmp_path: Path) -> None:
    package = make_package(tmp_path / "unet")
    phantoms.write_package(package.path, SECTION, NETWORK)

    with pytest.raises(ModelError, match=r"model\.pt: expected SHA-256 in clickseg\.weights"):
        make_engine(load_package(package.path), RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))


def test_weights_of_another_network_are_an_error(tmp_path: Path) -> None:
    package = make_package(tmp_path / "unet")
    section = json.loads((package.path / "configs" / "metadata.json").read_text())["clickseg"]
    phantoms.write_package(package.path, section, NETWORK | {"channels": [4, 16]})

    with pytest.raises(EngineError, match=r"model\.pt does not fit network_def: size mismatch for "):
        make_engine(load_package(package.path), RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))


class MaliciousObject:
    """An object whose pickle runs code when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("content", [b"root:x:0:0:root", b"not a weights file", b"", b"PK\x03\x04"])
def test_a_file_that_is_not_a_weights_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    package = make_package(tmp_path / "unet")
    (package.path / "models" / "model.pt").write_bytes(content)
    write_weight_digests(package, ("model.pt",))

    with pytest.raises(EngineError, match=r"model\.pt does not fit"):
        make_engine(load_package(package.path), RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_pickle_with_code_is_rejected_and_not_run(tmp_path: Path) -> None:
    package = make_package(tmp_path / "unet")
    target = tmp_path / "owned"
    with (package.path / "models" / "model.pt").open("wb") as file:
        pickle.dump(MaliciousObject(target), file)
    write_weight_digests(package, ("model.pt",))

    with pytest.raises(EngineError, match=r"model\.pt does not fit .*: it contains objects other than tensors$"):
        make_engine(load_package(package.path), RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))

    assert not target.exists()


@pytest.mark.parametrize(
    "network",
    [
        {"_target_": "os.system", "command": "true"},
        {"_target_": "monai.networks.nets.os"},
        {"_target_": "monai.networks.nets.unet.UNet"},
        {"_target_": "monai.transforms.Lambda"},
        {"_target_": "torch.nn.Linear"},
        NETWORK | {"norm": "$__import__('os').system('true')"},
        NETWORK | {"channels": ["@channels"]},
        NETWORK | {"norm": {"_target_": "builtins.print"}},
        NETWORK | {"_requires_": "$print()"},
        NETWORK | {"unknown": 1},
        NETWORK | {"spatial_dims": 7},
        {"spatial_dims": 3},
        "UNet",
    ],
)
def test_only_listed_networks_of_monai_with_plain_arguments_are_built(tmp_path: Path, network: object) -> None:
    phantoms.write_package(tmp_path / "bad", SECTION, network)

    with pytest.raises(ModelError, match=r"model bad: inference\.json: network_def"):
        build_network(load_package(tmp_path / "bad"))


@pytest.mark.parametrize("precision", [Precision.F32, Precision.AUTO])
def test_a_network_from_the_cache_gives_the_same_bytes(
    model: ModelPackage, batch: np.ndarray, tmp_path: Path, precision: Precision
) -> None:
    logits = [
        make_engine(model, RuntimeSettings(Runtime.OPENVINO, "cpu", precision, cache)).infer(batch).tobytes()
        for cache in (None, tmp_path, tmp_path)
    ]

    assert logits[0] == logits[1] == logits[2]
    assert len(list((tmp_path / "openvino").iterdir())) == 1


@pytest.mark.parametrize("damage", [lambda b: b[:5000], lambda b: b[:-9] + b"\0" * 9, lambda _: b"", lambda b: b[::-1]])
def test_a_damaged_cache_file_is_replaced(
    model: ModelPackage, batch: np.ndarray, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    settings = RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32, tmp_path)
    expected = make_engine(model, settings).infer(batch).tobytes()
    (path,) = (tmp_path / "openvino").iterdir()
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)

    replaced, loaded = [(make_engine(model, settings).infer(batch).tobytes(), path.read_bytes()) for _ in range(2)]

    assert [replaced[0], loaded[0]] == [expected] * 2
    assert replaced[1] != damaged
    assert loaded[1] == replaced[1]  # compiled networks contain names that OpenVINO counts: this one was loaded


def test_a_network_that_another_build_compiled_is_compiled_again(
    model: ModelPackage, batch: np.ndarray, tmp_path: Path
) -> None:
    expected = (
        make_engine(model, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32, tmp_path)).infer(batch).tobytes()
    )
    (path,) = (tmp_path / "openvino").iterdir()
    content = path.read_bytes()
    foreign = content[32:].replace(b"2026", b"1999")
    path.write_bytes(hashlib.sha256(foreign).digest() + foreign)
    (path.parent / ".clickseg-part-1-a").touch()
    os.utime(path.parent / ".clickseg-part-1-a", (0, 0))

    assert (
        make_engine(model, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32, tmp_path)).infer(batch).tobytes()
        == expected
    )
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_logits_of_another_number_type_are_an_error(model: ModelPackage) -> None:
    network = ov.Core().read_model(model.path / "models" / "model.xml")
    converter = ov.preprocess.PrePostProcessor(network)
    converter.output().tensor().set_element_type(ov.Type.f16)
    ov.save_model(converter.build(), model.path / "f16.xml", compress_to_fp16=False)
    for suffix in (".xml", ".bin"):  # replaces the old files, which are mapped into memory
        (model.path / f"f16{suffix}").replace(model.path / "models" / f"model{suffix}")
    write_weight_digests(model, ("model.xml", "model.bin"))

    with pytest.raises(EngineError, match="expected logits in f32, got f16"):
        make_engine(load_package(model.path), RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))


HANDLE_A_SIGNAL_AFTER_TWO_ENGINES = """
import gc, os, signal, sys
from pathlib import Path
from clickseg.inference.engines.openvino_engine import OpenVinoEngine
from clickseg.inference.engines.engine import Precision
from clickseg.models.package import load_package

package = load_package(Path(sys.argv[1]))
engines = [OpenVinoEngine(package, Precision.F32) for _ in range(2)]
while engines:
    engines.pop(0).close()
    gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_signal_is_handled_after_two_engines_were_freed_in_the_order_of_their_creation(model: ModelPackage) -> None:
    """If each had a runtime of its own, the second would restore a signal stack that the first has unmapped."""
    program = [
        *("python", "-X", "faulthandler", "-c"),  # it provides the signal stack that OpenVINO replaces
        HANDLE_A_SIGNAL_AFTER_TWO_ENGINES,
        model.path,
    ]

    ended = runs.run_process(program)

    assert (ended.returncode, ended.stdout) == (0, "handled\n"), ended.stderr


def test_a_cache_that_cannot_be_written_to_is_ignored(model: ModelPackage, batch: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert (
        make_engine(model, RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32, tmp_path / "file"))
        .infer(batch)
        .shape[0]
        == 1
    )


def test_an_invalid_graph_is_an_error(model: ModelPackage) -> None:
    (model.path / "models" / "model.xml").write_text("<net/>")
    write_weight_digests(model, ("model.xml",))

    with pytest.raises(EngineError, match="OpenVINO cannot run"):
        make_engine(load_package(model.path), RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))


def test_a_graph_with_another_number_of_classes_is_an_error(model: ModelPackage) -> None:
    section = json.loads((model.path / "configs" / "metadata.json").read_text())["clickseg"]
    phantoms.write_package(model.path, section | {"output_channels": 3}, NETWORK)

    with pytest.raises(
        EngineError, match=r"expected one output \[1, 3, 8, 8, 8\], got 1 output, the first \[1, 2, 8, 8, 8\]"
    ):
        make_engine(load_package(model.path), RuntimeSettings(Runtime.OPENVINO, "cpu", Precision.F32))
    with pytest.raises(EngineError, match="expected logits"):
        make_engine(load_package(model.path), RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32)).infer(
            np.zeros((1, 3, 8, 8, 8), np.float32)
        )


def test_a_torchscript_file_that_the_user_names_is_run(tmp_path: Path, batch: np.ndarray) -> None:
    torch.manual_seed(5)
    network = nets.UNet(**{key: value for key, value in NETWORK.items() if key != "_target_"}).eval()
    metadata = json.dumps({"version": "2", "clickseg": SECTION})
    path = tmp_path / "organ.ts"
    script = torch.jit.trace(network, torch.from_numpy(batch))
    script.save(str(path), _extra_files={"metadata.json": metadata.encode()})

    loaded = load_package(path)

    assert (loaded.name, loaded.version) == ("organ", "2")
    engine = make_engine(loaded, RuntimeSettings(Runtime.AUTO, "cpu", Precision.F32))
    with torch.no_grad():
        np.testing.assert_allclose(engine.infer(batch), network(torch.from_numpy(batch)).numpy(), atol=1e-5)
    assert engine.weights[0].sha256


def test_torchscript_in_a_package_is_used_only_with_the_torch_engine(tmp_path: Path, batch: np.ndarray) -> None:
    package = make_package(tmp_path / "unet")
    script = torch.jit.trace(build_network(package).eval(), torch.from_numpy(batch))
    script.save(str(package.path / "models" / "model.ts"))
    (package.path / "models" / "model.pt").unlink()
    write_weight_digests(package, ("model.ts",))

    with pytest.raises(EngineError, match="no weights that can be loaded"):
        make_engine(load_package(package.path), RuntimeSettings(Runtime.AUTO, "cpu", Precision.AUTO))
    assert (
        make_engine(load_package(package.path), RuntimeSettings(Runtime.TORCH, "cpu", Precision.AUTO))
        .infer(batch)
        .shape[1]
        == 2
    )


@pytest.mark.parametrize("content", [b"not an archive", b""])
def test_an_invalid_torchscript_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.ts"
    path.write_bytes(content)

    with pytest.raises(ModelError, match=r"bad\.ts: neither a bundle folder nor a TorchScript archive"):
        load_package(path)


def test_a_torchscript_file_without_metadata_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bad.ts"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bad/version", "3")

    with pytest.raises(ModelError, match=r"without extra/metadata\.json"):
        load_package(path)
