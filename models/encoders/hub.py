"""Published weights from hubs, and what to do where they cannot be had."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError
from timm.models import load_state_dict_from_hf
from torch import Tensor

from models.encoders.known import HUB
from models.errors import WeightsError

DENIED = (401, 403, 404)
"""A hub says 404 or 401, not 403, of what only some may know of."""
TRANSPORT: tuple[type[Exception], ...] = (OSError, *HfHubHTTPError.__bases__)
"""Errors below the hub's own: the system's, and those of the HTTP library that the hub uses."""
PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def download(weights: str, name: str) -> dict[str, Tensor]:
    """Get the tensors of a hub repository, from the local cache where they are there.

    Args:
        weights: `hf-hub:OWNER/NAME`.
        name: of the encoder, for messages.

    Raises:
        WeightsError: access was denied, nothing can be reached, or what came is damaged.
    """
    with told(weights, name):
        found: dict[str, Tensor] = load_state_dict_from_hf(weights.removeprefix(HUB))
    return found


@contextmanager
def told(weights: str, name: str) -> Iterator[None]:
    """Turn what goes wrong with a download inside into one sentence that says what to do.

    Raises:
        WeightsError: access was denied, nothing can be reached, or what came is damaged.
    """
    try:
        with _offline_if_unreachable():
            yield
    except (HfHubHTTPError, LocalEntryNotFoundError) as err:
        raise WeightsError(_refused(weights, name, err)) from err
    except TRANSPORT as err:  # broken off, no name, no room in the cache
        reason = str(err).strip().partition("\n")[0] or type(err).__name__
        raise WeightsError(_unreachable(weights, name, reason)) from err
    except (RuntimeError, SafetensorError) as err:
        raise WeightsError(
            f"what was downloaded for {name} ({weights}) cannot be read as weights; delete it from "
            f"{constants.HF_HUB_CACHE} and try again, or give the file with --weights FILE"
        ) from err


def _refused(weights: str, name: str, err: Exception) -> str:
    """Tell a closed door from a missing road; the hub's client wraps either in the other."""
    answer = getattr(err, "response", None) or getattr(err.__cause__, "response", None)
    if answer is None:
        reason = "the hub cannot be reached, and they are not in the local cache"
        return _unreachable(weights, name, reason)
    if answer.status_code in DENIED:
        return _denied(weights, name)
    return _unreachable(weights, name, f"status {answer.status_code}")


def _denied(weights: str, name: str) -> str:
    page = f"https://huggingface.co/{weights.removeprefix(HUB)}"
    return (
        f"the weights of {name} are not open to you, or are not there: accept the licence on "
        f"{page}, set HF_TOKEN to a token of your account, or give the file with --weights FILE"
    )


def _unreachable(weights: str, name: str, reason: str) -> str:
    return (
        f"cannot download the weights of {name} ({weights}: {reason}); "
        "connect to the network, or give the file with --weights FILE"
    )


@contextmanager
def _offline_if_unreachable() -> Iterator[None]:
    """Use the cache alone where the hub has no address: its client would try again for minutes."""
    if constants.HF_HUB_OFFLINE or _has_address():
        yield
        return
    logging.getLogger(__name__).debug("%s has no address, using the cache", constants.ENDPOINT)
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False


def _has_address() -> bool:
    if any(os.environ.get(name) for name in PROXIES):
        return True  # the proxy looks names up
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, None)
    except OSError:
        return False
    return True
