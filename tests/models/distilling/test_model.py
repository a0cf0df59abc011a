"""The file of a stage: what is written is what is read; what is wrong is told."""

from pathlib import Path

import pytest
import torch

from models.distilling.branch import Branch
from models.distilling.card import DistilledCard
from models.distilling.flexible import with_sizes
from models.distilling.method import Distl
from models.distilling.model import open_distilled, read_distilled_card, save_distilled
from models.encoders import open_encoder, save_checkpoint
from models.errors import WeightsError
from tests.models.distilling.tiny import settings


@pytest.fixture
def made() -> tuple[Distl, DistilledCard]:
    encoder = with_sizes(open_encoder("test_resnet", "random:3", input_px=32), (32, 16), 0.1)
    method = Distl(Branch(encoder, 2, settings(), seed=1), None, settings(), "exclusive")
    with torch.no_grad():
        next(iter(method.teacher.parameters())).add_(1)
    card = DistilledCard(
        round=1,
        encoder=encoder.card,
        local_px=16,
        classes=("a", "b"),
        target="exclusive",
        heads=settings().heads,
    )
    return method, card


def test_student_and_teacher_come_back(made: tuple[Distl, DistilledCard], tmp_path: Path) -> None:
    method, card = made
    stored = save_distilled(tmp_path / "m.safetensors", method.student, method.teacher, card)
    found, student, teacher = open_distilled(tmp_path / "m.safetensors", settings())
    assert found == stored == read_distilled_card(tmp_path / "m.safetensors")
    for ours, theirs in ((student, method.student), (teacher, method.teacher)):
        other = theirs.state_dict()
        assert all(torch.equal(tensor, other[name]) for name, tensor in ours.state_dict().items())


def test_what_is_no_model_is_told(made: tuple[Distl, DistilledCard], tmp_path: Path) -> None:
    method, card = made
    with pytest.raises(WeightsError, match=r"there is no model .*; was its training finished"):
        open_distilled(tmp_path / "gone.safetensors", settings())
    save_checkpoint(tmp_path / "e.safetensors", method.student.encoder, card.encoder)
    with pytest.raises(WeightsError, match="is no model of `microtome distill`"):
        open_distilled(tmp_path / "e.safetensors", settings())
    path = tmp_path / "m.safetensors"
    save_distilled(path, method.student, method.teacher, card)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="is damaged"):
        open_distilled(path, settings())
