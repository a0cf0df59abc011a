"""A forward pass gives the models' own probabilities as whole numbers, whatever the batch."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.errors import EncoderError, NumericsError
from models.mapping.forward import MapForward
from models.mapping.worker import require_window
from models.segmentation.card import TissueCard
from models.segmentation.gate import Gate
from models.segmentation.model import TissueModel
from models.segmentation.network import SegmenterPlan, build_segmenter
from models.segmentation.predict import predict_probabilities
from tests.models.segmentation.tiny import TinySegmenter, classifier

CPU = torch.device("cpu")
OPEN = Gate(enabled=False)


def tissue_model(network: torch.nn.Module, role: str = "segmenter") -> TissueModel:
    card = TissueCard.model_validate(
        {"name": "tiny", "role": role, "architecture": "x", "classes": ("a", "b", "c")}
        | {"patch_px": 16}
    )
    return TissueModel(network, card).eval()


def pixels(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 16, 16, 3), dtype=torch.uint8, generator=generator)


def test_numbers_are_rounded_probabilities_gated_like_the_models_own() -> None:
    segmenter, gate = tissue_model(TinySegmenter()), Gate(epsilon=0.5)
    second = tissue_model(classifier(), "classifier")
    forward = MapForward(segmenter, second, gate, "float32", CPU, batch=2)
    every = pixels(5)
    batches = [(range(3), every[:3]), (range(3, 5), every[3:])]
    found = list(forward.run(batches))
    assert [part for part, _ in found] == [range(3), range(3, 5)]
    numbers = np.concatenate([values for _, values in found])
    assert numbers.dtype == np.uint16
    wanted = predict_probabilities(segmenter, every, classifier=second, gate=gate).numpy()
    assert (wanted == 0).any()
    assert (wanted > 0).any()
    np.testing.assert_allclose(numbers / 65535, wanted, atol=1e-5)
    assert (numbers[wanted == 0] == 0).all()


def test_settings_of_torch_are_as_before_between_batches() -> None:
    forward = MapForward(tissue_model(TinySegmenter()), None, OPEN, "bf16", CPU)
    for _ in forward.run([(range(1), pixels(1)), (range(1, 2), pixels(1))]):
        assert not torch.is_inference_mode_enabled()
        assert not torch.is_autocast_enabled("cpu")


def test_nan_is_refused() -> None:
    broken = TinySegmenter()
    with torch.no_grad():
        broken.head.bias.fill_(torch.nan)
    forward = MapForward(tissue_model(broken), None, OPEN, "float32", CPU)
    with pytest.raises(NumericsError, match="NaN or infinity; try --precision float32"):
        list(forward.run([(range(1), pixels(1))]))


def test_a_batch_is_halved_where_memory_is_short() -> None:
    class Hungry(TinySegmenter):
        def forward(self, images: Tensor) -> Tensor:
            if len(images) > 2:
                raise torch.OutOfMemoryError("too many")
            return super().forward(images)

    forward = MapForward(tissue_model(Hungry()), None, OPEN, "float32", CPU, batch=6)
    usual = MapForward(tissue_model(TinySegmenter()), None, OPEN, "float32", CPU)
    (_, found), (_, wanted) = (next(f.run([(range(6), pixels(6))])) for f in (forward, usual))
    assert forward.batch <= 2
    np.testing.assert_allclose(found.astype(float), wanted.astype(float), atol=2)


def test_windows_that_the_network_cannot_take_are_refused() -> None:
    model = tissue_model(TinySegmenter())
    require_window(model, 16)
    with pytest.raises(EncoderError, match=r"gives \(1, 3, 18, 18\) for a window.*--window-px"):
        require_window(model, 17)
    strict = tissue_model(build_segmenter(SegmenterPlan("fpn", "resnet18"), 3))
    with pytest.raises(EncoderError, match="takes no windows of 50 px: Wrong input shape"):
        require_window(strict, 50)
