"""What the server asks of an answer before it counts: the right run, shapes, and finite numbers."""

import torch
from torch import Tensor

from models.federated.averaging import State
from models.federated.errors import ProtocolError
from models.federated.protocol import Answer
from models.ssl.bank import Bank


def check_answer(answer: Answer, *, run: str, number: int, weights: State) -> None:
    """Refuse an answer that must not reach the average.

    Args:
        answer: of a site.
        run: identity of this run.
        number: of the round.
        weights: that were sent, whose names and shapes the answer's must have.

    Raises:
        ProtocolError: says what is wrong.
    """
    if (answer.run, answer.round) != (run, number):
        raise ProtocolError(
            f"an answer to round {answer.round} of run {answer.run}, not {number} of {run}"
        )
    if set(answer.weights) != set(weights):
        other = sorted(set(answer.weights) ^ set(weights))
        raise ProtocolError(f"the weights are of another network: {other[0]}")
    for name, tensor in answer.weights.items():
        _check_tensor(name, tensor, weights[name])


def check_bank(bank: Bank | None, *, features: int | None, entries: int) -> None:
    """Refuse a bank that must not reach the other sites.

    Args:
        bank: of an answer.
        features: length of each; None where the method has no bank.
        entries: most of them.

    Raises:
        ProtocolError: says what is wrong.
    """
    if features is None or bank is None:
        if features is not None or bank is not None:
            raise ProtocolError("a bank where none belongs, or none where one does")
        return
    if bank.features.shape[1] != features or not 0 < bank.size <= entries:
        raise ProtocolError(
            f"a bank of {tuple(bank.features.shape)}; this run has at most {entries} entries of "
            f"{features} numbers"
        )
    if not torch.isfinite(bank.features).all():
        raise ProtocolError("features that are NaN or infinite")
    if bank.partition.min() < 0:
        raise ProtocolError("features of unknown partition")


def _check_tensor(name: str, tensor: Tensor, like: Tensor) -> None:
    if (tensor.shape, tensor.dtype) != (like.shape, like.dtype):
        raise ProtocolError(
            f"{name} is {tensor.dtype} {tuple(tensor.shape)}, not {like.dtype} {tuple(like.shape)}"
        )
    if tensor.dtype.is_floating_point and not torch.isfinite(tensor).all():
        raise ProtocolError(f"{name} holds NaN or infinity")
