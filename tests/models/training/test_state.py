import stat
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from safetensors import safe_open
from torch import nn

from models.errors import NumericsError, WeightsError
from models.training.optimizers import build_optimizer
from models.training.settings import OptimizerName
from models.training.state import load_state, save_state
from tests.models.training.small import STEPS, SmallNet, same, settings_of, start, train

NAMES: tuple[OptimizerName, ...] = ("adamw", "adam", "lars", "sgd")
ABOUT = {"step": 3, "identity": "abc", "share": 0.1, "names": ["ä", None]}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("done", [0, 1, 5])
def test_a_resumed_run_equals_the_undisturbed_one_to_the_bit(
    name: OptimizerName, done: int, tmp_path: Path
) -> None:
    whole, optimizer = start(name)
    undisturbed = train(whole, optimizer, name, range(STEPS))
    net, optimizer = start(name)
    losses = train(net, optimizer, name, range(done))
    save_state(tmp_path / "state-1.safetensors", net, optimizer, ABOUT)
    other, optimizer = start(name, seed=99)
    assert not same(other, net)
    assert load_state(tmp_path / "state-1.safetensors", other, optimizer) == ABOUT
    assert same(other, net)
    losses += train(other, optimizer, name, range(done, STEPS))
    assert losses == undisturbed
    assert same(other, whole)


def test_what_the_optimiser_remembers_keeps_its_type_and_layout(tmp_path: Path) -> None:
    net, optimizer = start("adamw")
    train(net, optimizer, "adamw", range(2))
    save_state(tmp_path / "s", net, optimizer, {})
    other, restored = start("adamw", seed=1)
    load_state(tmp_path / "s", other, restored)
    assert other.idle not in restored.state
    for param, copy in zip(net.parameters(), other.parameters(), strict=True):
        assert optimizer.state[param].keys() == restored.state[copy].keys()
        for key, value in optimizer.state[param].items():
            found = restored.state[copy][key]
            assert torch.equal(found, value)
            assert (found.dtype, found.stride()) == (value.dtype, value.stride())
    assert other.conv.weight.stride() != other.conv.weight.contiguous().stride()


def test_values_that_are_no_tensors_come_back_exactly(tmp_path: Path) -> None:
    net, optimizer = start("sgd")
    optimizer.state[net.head.weight] = {"momentum_buffer": None, "count": 7, "rate": 0.1 + 0.2}
    save_state(tmp_path / "s", net, optimizer, {})
    other, restored = start("sgd")
    load_state(tmp_path / "s", other, restored)
    found = restored.state[other.head.weight]
    assert found == {"momentum_buffer": None, "count": 7, "rate": 0.1 + 0.2}


def test_options_of_the_optimiser_are_those_of_the_new_one(tmp_path: Path) -> None:
    net, optimizer = start("adamw")
    save_state(tmp_path / "s", net, optimizer, {})
    optimizer.param_groups[0]["weight_decay"] = 0.7
    load_state(tmp_path / "s", net, optimizer)
    assert optimizer.param_groups[0]["weight_decay"] == 0.7


def test_names_of_one_tensor_stay_one_tensor_and_are_written_once(tmp_path: Path) -> None:
    net, optimizer = start("adamw")
    save_state(tmp_path / "s", net, optimizer, {})
    with safe_open(tmp_path / "s", "pt") as file:
        names = set(file.keys())
    assert "module.head.weight" in names
    assert "module.tied.weight" not in names
    other, optimizer = start("adamw", seed=1)
    load_state(tmp_path / "s", other, optimizer)
    assert other.tied.weight is other.head.weight
    assert torch.equal(other.tied.weight, net.head.weight)


class _Views(nn.Module):
    """Buffers that are parts of one memory."""

    def __init__(self) -> None:
        super().__init__()
        whole = torch.arange(12.0)
        self.register_buffer("whole", whole)
        self.register_buffer("part", whole[2:6])
        self.register_buffer("turned", whole.view(3, 4).t())
        self.register_buffer("empty", whole[:0])
        self.weight = nn.Parameter(torch.ones(1))


def test_buffers_that_overlap_are_kept(tmp_path: Path) -> None:
    net, other = _Views(), _Views()
    save_state(tmp_path / "s", net, torch.optim.SGD(net.parameters()), {})
    other.whole.zero_()
    load_state(tmp_path / "s", other, torch.optim.SGD(other.parameters()))
    assert same(other, net)


def test_a_loaded_state_does_not_depend_on_its_file(tmp_path: Path) -> None:
    path = tmp_path / "s"
    net, optimizer = start("adamw")
    train(net, optimizer, "adamw", range(2))
    save_state(path, net, optimizer, {})
    other, restored = start("adamw", seed=1)
    load_state(path, other, restored)
    path.write_bytes(b"\0" * path.stat().st_size)  # in place: a mapped tensor would see it
    expected = train(net, optimizer, "adamw", range(2, STEPS))
    assert train(other, restored, "adamw", range(2, STEPS)) == expected


def test_the_optimiser_of_fabric_is_taken_up_before_it_is_wrapped(tmp_path: Path) -> None:
    net, optimizer = start("adamw")
    train(net, optimizer, "adamw", range(3))
    save_state(tmp_path / "s", net, optimizer, {})
    expected = train(net, optimizer, "adamw", range(3, STEPS))
    other, restored = start("adamw", seed=1)
    load_state(tmp_path / "s", other, restored)
    _, wrapped = Fabric(accelerator="cpu", devices=1).setup(other, restored)
    assert train(other, wrapped, "adamw", range(3, STEPS)) == expected


def test_a_state_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "run" / "state-1.safetensors"
    net, optimizer = start("lars")
    for step in (1, 2):
        save_state(path, net, optimizer, {"step": step})
    assert load_state(path, net, optimizer) == {"step": 2}
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_network_that_is_no_numbers_is_not_written(wrong: float, tmp_path: Path) -> None:
    net, optimizer = start("adamw")
    net.head.bias.data[1] = wrong
    with pytest.raises(NumericsError, match=r"1 of 11 parameters .*head\.bias first.*lower --lr"):
        save_state(tmp_path / "state-1.safetensors", net, optimizer, {})
    assert not list(tmp_path.iterdir())


def test_a_state_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    net, optimizer = start("sgd")
    with pytest.raises(WeightsError, match=r"cannot write .*state-1"):
        save_state(tmp_path / "file" / "state-1.safetensors", net, optimizer, {})


def test_another_network_or_optimiser_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    net, optimizer = start("adamw")
    train(net, optimizer, "adamw", range(1))
    save_state(path, net, optimizer, {})
    lars = start("lars")
    with pytest.raises(WeightsError, match="is of the optimiser AdamW, not Lars"):
        load_state(path, *lars)
    wider = SmallNet()
    wider.extra = nn.Linear(2, 2)
    with pytest.raises(WeightsError, match=r"(?s)of another network.*extra\.weight"):
        load_state(path, wider, torch.optim.AdamW(wider.parameters()))
    few = torch.optim.AdamW([net.conv.weight])
    with pytest.raises(WeightsError, match=r"another network.*conv\.bias"):
        load_state(path, net, few)


def _step_by_hand(net: SmallNet, optimizer: torch.optim.Optimizer, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for param in net.parameters():
        param.grad = torch.randn(param.shape, generator=generator).to(param)
    optimizer.step()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", NAMES)
def test_a_run_on_a_gpu_is_resumed_to_the_bit(name: OptimizerName, tmp_path: Path) -> None:
    net, other = SmallNet().cuda(), SmallNet(seed=1).cuda()
    optimizer, restored = (build_optimizer(one, settings_of(name)) for one in (net, other))
    for step in range(3):
        _step_by_hand(net, optimizer, step)
    save_state(tmp_path / "s", net, optimizer, {})
    load_state(tmp_path / "s", other, restored)
    for step in range(3, 6):
        _step_by_hand(net, optimizer, step)
        _step_by_hand(other, restored, step)
    assert same(net, other)
