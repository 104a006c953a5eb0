"""In which precision networks compute where."""

import pytest
import torch

from pgnm.config import Recipe
from pgnm.engine import open_devices
from pgnm.engine.devices import choose_precision
from pgnm.errors import UsageError

CPU = torch.device("cpu")
ZEN = {"cpu_name": "AMD EPYC 9755", "avx512_bf16": True, "amx_bf16": False}
SAPPHIRE_RAPIDS = {"cpu_name": "Intel(R) Xeon(R) Platinum 8480+", "avx512_bf16": True, "amx_bf16": True}


@pytest.mark.parametrize(
    ("told", "side", "chosen"),
    [
        (SAPPHIRE_RAPIDS, 64, "bf16"),
        (SAPPHIRE_RAPIDS | {"amx_bf16": False}, 64, "fp32"),
        (ZEN, 64, "bf16"),
        (ZEN, 31, "fp32"),
        (ZEN | {"avx512_bf16": False}, 64, "fp32"),
        ({}, 64, "fp32"),
    ],
)
def test_a_cpu_takes_bf16_where_it_gains_by_it(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, object], side: int, chosen: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told)
    assert choose_precision("auto", CPU, side) == chosen
    assert choose_precision("fp32", CPU, side) == "fp32"


@pytest.mark.parametrize("change", [{"size": 24}, {"size": 64, "policy_size": 24}])
def test_bf16_is_refused_where_a_network_sees_too_little(change: dict[str, int]) -> None:
    recipe = Recipe(device="cpu", precision="bf16", **change)
    with pytest.raises(UsageError, match="32 px or more, got 24 px"):
        open_devices(recipe)
    assert open_devices(recipe.replace(precision="auto")).precision == "fp32"


def test_fp16_is_refused_on_a_cpu() -> None:
    with pytest.raises(UsageError, match="fp16 needs a CUDA device"):
        choose_precision("fp16", CPU, 224)
