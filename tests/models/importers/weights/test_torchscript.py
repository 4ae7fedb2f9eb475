"""TorchScript archives: the network is found without running the program, or the program is kept."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from clickseg.core.errors import ModelError
from clickseg.inference.engines.network import build_from_definition
from clickseg.models.importers.source_model import ImportOptions, Outcome, SourceModel
from clickseg.models.importers.weights.checkpoint import CheckpointReader
from clickseg.models.importers.weights.torchscript import TorchScriptReader
from clickseg.models.spec import ModelSpec
from tests.helpers.oracles import nets, torch
from tests.helpers.source_models import check_same_logits, texts_of_notes

READER = TorchScriptReader(build_from_definition)
PRESET = ImportOptions(preset="deploy_spleen")
WINDOWS = torch.rand(1, 1, 16, 16, 16)


class Wrapped(torch.nn.Module):
    """A network in a module that returns a second output, or that applies a function."""

    def __init__(self, network: torch.nn.Module, last: torch.nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.last = last if last is not None else torch.nn.Identity()

    def forward(self, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.last(self.network(windows))
        return logits, logits.mean()


class Honest(torch.nn.Module):
    """A network in a module that computes nothing."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(windows)
        return logits


class Before(Honest):
    """A network whose input is scaled."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(windows * 0.5)
        return logits


class After(Honest):
    """A network whose classes are exchanged."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(windows)
        return logits.flip([1])


def same_name() -> torch.nn.Module:
    """Returns UNet of another file, which exchanges the classes."""

    class UNet(nets.UNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(x)
            return logits.flip([1])

    torch.manual_seed(3)
    return UNet(3, 1, 2, [4, 8], [2], num_res_units=1, norm="batch")


def unet(**arguments: Any) -> torch.nn.Module:
    torch.manual_seed(3)
    return nets.UNet(3, 1, 2, [4, 8], [2], **{"num_res_units": 1, "norm": "batch"} | arguments).eval()


def segresnet(**arguments: Any) -> torch.nn.Module:
    torch.manual_seed(3)
    return nets.SegResNet(init_filters=8, blocks_down=[1, 1], blocks_up=[1], **arguments).eval()


def dynunet() -> torch.nn.Module:
    torch.manual_seed(3)
    return nets.DynUNet(3, 1, 2, [3] * 3, [1, 2, 2], [2, 2], filters=[4, 8, 8], res_block=True).eval()


def save(network: torch.nn.Module, path: Path, *, traced: bool = False, **embedded: object) -> Path:
    script = torch.jit.trace(network, torch.zeros(1, 1, 16, 16, 16)) if traced else torch.jit.script(network)
    script.save(
        str(path), _extra_files={f"{name}.json": json.dumps(value).encode() for name, value in embedded.items()}
    )
    return path


@pytest.mark.filterwarnings("ignore:The TorchScript type system:UserWarning")  # DynUNet
@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("make", [unet, segresnet, dynunet])
@pytest.mark.parametrize("name", ["model.ts", "model.zip", "model.pt"])
def test_a_program_of_a_known_network_is_not_run(tmp_path: Path, traced: bool, make: Any, name: str) -> None:
    path = save(make(), tmp_path / name, traced=traced)

    assert READER.recognizes(path)
    assert not CheckpointReader(build_from_definition).recognizes(path)
    model = READER.read(path, PRESET)

    check_same_logits(model, make(), WINDOWS)
    ModelSpec.model_validate(model.section)
    assert texts_of_notes(model, Outcome.TRANSLATED)["program"].startswith("not run")


@pytest.mark.parametrize("traced", [False, True])
def test_a_program_shows_what_weights_do_not(tmp_path: Path, traced: bool) -> None:
    model = READER.read(save(unet(), tmp_path / "model.ts", traced=traced), PRESET)

    assert texts_of_notes(model, Outcome.ASSUMED) == {}


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: unet(act="relu", dropout=0.1),
        lambda: unet(act=("relu", {"inplace": True})),
        lambda: unet(norm="instance"),
    ],
)
def test_what_does_not_change_the_results_may_differ(tmp_path: Path, traced: bool, make: Any) -> None:
    model = READER.read(save(make(), tmp_path / "model.ts", traced=traced), PRESET)

    check_same_logits(model, make(), WINDOWS)


@pytest.mark.parametrize("wrapper", [Honest, After])
def test_a_trace_of_a_network_with_one_window_is_compared_at_this_window(tmp_path: Path, wrapper: Any) -> None:
    torch.manual_seed(3)
    sizes = {"feature_size": 4, "hidden_size": 12, "mlp_dim": 12, "num_heads": 12}
    network = wrapper(nets.UNETR(1, 2, img_size=(32, 32, 32), **sizes)).eval()
    path = tmp_path / "model.ts"
    torch.jit.trace(network, torch.zeros(1, 1, 32, 32, 32), check_trace=False).save(str(path))

    model = READER.read(path, PRESET)

    assert (model.script is None) is (wrapper is Honest)


@pytest.mark.parametrize("traced", [False, True])
def test_a_wrapped_network_that_returns_its_output_is_not_run(tmp_path: Path, traced: bool) -> None:
    model = READER.read(save(Honest(unet()), tmp_path / "model.ts", traced=traced), PRESET)

    check_same_logits(model, unet(), WINDOWS)
    assert texts_of_notes(model, Outcome.ASSUMED) == {}


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("make", [lambda: Before(unet()), lambda: After(unet()), lambda: Wrapped(unet()), same_name])
def test_a_program_with_other_code_is_run(tmp_path: Path, traced: bool, make: Any) -> None:
    path = save(make().eval(), tmp_path / "model.ts", traced=traced)

    model = READER.read(path, PRESET)

    assert model.script == path
    assert texts_of_notes(model, Outcome.TRANSLATED)["program"].endswith("its code differs from that of UNet")


def test_a_program_with_a_hook_is_run(tmp_path: Path) -> None:
    def exchange(self: Any, windows: tuple[torch.Tensor], logits: torch.Tensor) -> torch.Tensor:
        return logits.flip([1])

    exchange.__annotations__.pop("self")
    exchange.__annotations__ |= {"windows": tuple[torch.Tensor], "logits": torch.Tensor, "return": torch.Tensor}
    network = unet()
    network.register_forward_hook(exchange)
    path = save(network, tmp_path / "model.ts")

    assert READER.read(path, PRESET).script == path


class Announced(torch.nn.Module):
    """A module with code that runs when it is loaded."""

    @torch.jit.export
    def __getstate__(self) -> tuple[int, bool]:
        return 1, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[int, bool]) -> None:
        print("loaded")  # noqa: T201 - shows that it runs
        self.training = state[1]

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return windows


def test_code_that_would_run_at_loading_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = save(Announced().eval(), tmp_path / "model.ts")

    with pytest.raises(ModelError, match=r"contains __setstate__, which torch would run at loading: it is not loaded"):
        READER.read(path, PRESET)

    assert "loaded" not in capfd.readouterr().out


def test_a_default_value_that_is_computed_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.ts"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "version"):
            archive.writestr(f"model/{name}", b"3")
        archive.writestr("model/code/__torch__.py", "def forward(x: int=torch.add(1, 2)) -> int:\n  return x\n")

    with pytest.raises(ModelError, match=r"contains a default value that is computed, which torch would run"):
        READER.read(path, PRESET)


def test_a_traced_network_in_a_scripted_wrapper_is_compared(tmp_path: Path) -> None:
    traced = torch.jit.trace(nets.UNet(3, 1, 2, [4, 8], [3]).eval(), torch.zeros(1, 1, 18, 18, 18))
    path = save(Honest(traced), tmp_path / "model.ts")

    assert READER.read(path, PRESET).script == path


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (torch.nn.Conv3d(1, 2, 3, padding=1), "the weights are those of no network"),
        (unet(act="leakyrelu"), "expected ReLU, got LeakyReLU"),
        (Wrapped(unet(), torch.nn.Softmax(1)), "last: the network has no such module"),
    ],
)
def test_the_program_is_run_if_it_may_be_another_network(
    tmp_path: Path, traced: bool, network: torch.nn.Module, reason: str
) -> None:
    path = save(network.eval(), tmp_path / "model.ts", traced=traced)

    model = READER.read(path, PRESET)

    assert model.script == path
    assert model.network_def is None
    assert model.load_state is None
    assert reason in texts_of_notes(model, Outcome.TRANSLATED)["program"]


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (segresnet(norm=("group", {"num_groups": 4})), "num_groups: expected 8, got 4"),
        (nets.UNet(3, 1, 2, [4, 8], [3]), "stride: expected (2, 2, 2), got (3, 3, 3)"),
    ],
)
def test_the_numbers_of_a_scripted_program_are_compared(tmp_path: Path, network: torch.nn.Module, reason: str) -> None:
    model = READER.read(save(network.eval(), tmp_path / "model.ts"), PRESET)

    assert model.script is not None
    assert reason in texts_of_notes(model, Outcome.TRANSLATED)["program"]


def test_a_frozen_program_is_run(tmp_path: Path) -> None:
    torch.jit.freeze(torch.jit.script(unet())).save(str(tmp_path / "model.ts"))

    assert READER.read(tmp_path / "model.ts", PRESET).script == tmp_path / "model.ts"


def test_an_embedded_configuration_describes_the_model(tmp_path: Path) -> None:
    metadata, config = {"version": "0.5.3", "name": "Spleen"}, {"network_def": {"_target_": "UNet"}}
    path = save(unet(), tmp_path / "model.ts", metadata=metadata, inference=config)
    section = READER.read(path, PRESET).section
    asked: list[object] = []

    def describe(
        config: Mapping[str, Any], metadata: Mapping[str, Any], options: ImportOptions, name: str
    ) -> SourceModel:
        asked.extend([config, metadata, options.changes, name])
        return SourceModel(metadata["name"], metadata["version"], section, None, None, licence="Apache-2.0")

    changes = {"preprocessing#transforms#0": {}, "network_def.norm": "batch"}
    model = TorchScriptReader(build_from_definition, describe).read(path, ImportOptions(changes=changes))

    assert asked == [config, metadata, {"preprocessing#transforms#0": {}}, "model"]
    assert (model.name, model.version, model.licence) == ("Spleen", "0.5.3", "Apache-2.0")
    check_same_logits(model, unet(), WINDOWS)


@pytest.mark.parametrize("key", ["network_def#norm", "network_def::norm"])
def test_a_change_of_the_network_has_no_effect_on_a_program_that_is_run(tmp_path: Path, key: str) -> None:
    path = save(Before(unet()), tmp_path / "model.ts", metadata={}, inference={})
    section = READER.read(path, PRESET).section
    bundle = SourceModel("model", "0", section, None, None, used_options=frozenset({key, "inferer#overlap"}))
    reader = TorchScriptReader(build_from_definition, lambda *_: bundle)

    model = reader.read(path, ImportOptions(changes={key: "batch", "inferer#overlap": 0.1}))

    assert model.script == path
    assert model.used_options == {"inferer#overlap"}


def test_a_json_file_next_to_the_archive_describes_a_program(tmp_path: Path) -> None:
    path = save(torch.nn.Conv3d(1, 3, 3, padding=1), tmp_path / "model.ts")
    fields = dict(READER.read(path, PRESET).section)
    del fields["classes"]
    (tmp_path / "model.json").write_text(json.dumps(fields | {"output_channels": 3}))

    model = READER.read(path, ImportOptions())

    assert [each["name"] for each in model.section["classes"]] == ["class 1", "class 2"]
    assert READER.files(path) == (path, tmp_path / "model.json")


def test_a_key_that_a_program_does_not_have_cannot_be_changed(tmp_path: Path) -> None:
    path = save(unet(), tmp_path / "model.ts")

    with pytest.raises(ModelError, match=r"preprocessing#transforms#0: expected a field of the clickseg section"):
        READER.read(path, ImportOptions(preset="deploy_spleen", changes={"preprocessing#transforms#0": {}}))


def test_a_program_without_a_description_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.ts: contains only the weights of UNet with 1 input and 2 output"):
        READER.read(save(unet(), tmp_path / "model.ts"), ImportOptions())


def test_an_archive_whose_content_is_much_larger_is_an_error(tmp_path: Path) -> None:
    path = save(unet(), tmp_path / "model.ts")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data/99", bytes(80 << 20))

    with pytest.raises(ModelError, match=r"model\.ts: expected a content of at most 67108864 bytes, got"):
        READER.read(path, PRESET)


@pytest.mark.parametrize(
    "damage", [lambda content: content[:2000], lambda content: content.replace(b"PK\x01\x02", b"PK")]
)
def test_a_damaged_archive_is_not_recognized(tmp_path: Path, damage: Any) -> None:
    path = save(unet(), tmp_path / "model.ts")
    path.write_bytes(damage(path.read_bytes()))

    assert not READER.recognizes(path)
    with pytest.raises(ModelError, match=r"model\.ts: "):
        READER.read(path, PRESET)


def test_an_archive_with_damaged_code_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.ts"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py", "version"):
            archive.writestr(f"model/{name}", b"3")

    assert READER.recognizes(path)
    with pytest.raises(ModelError, match=r"model\.ts: not a TorchScript archive"):
        READER.read(path, PRESET)


def test_other_archives_are_not_recognized(tmp_path: Path) -> None:
    torch.save(unet().state_dict(), tmp_path / "weights.pt")
    with zipfile.ZipFile(tmp_path / "auto3dseg.zip", "w") as archive:
        archive.writestr("model.pt", b"")
        archive.writestr("labels.csv", b"")

    assert not READER.recognizes(tmp_path / "weights.pt")
    assert not READER.recognizes(tmp_path / "auto3dseg.zip")


def test_an_archive_is_recognized_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(unet(), tmp_path / "model.ts")
    monkeypatch.setitem(sys.modules, "torch", None)

    assert READER.recognizes(path)
