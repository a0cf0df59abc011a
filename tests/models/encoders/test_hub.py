"""Published weights, from a hub on this machine that answers as the real one does."""

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save

from models.encoders import open_encoder
from models.errors import WeightsError

COMMIT = "0" * 40


class Hub(ThreadingHTTPServer):
    """Serves files by `owner/name/file`; answers `status` and `error` to all where that is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.status = 404
        self.error = "EntryNotFound"


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.wfile.write(self.answer())

    def answer(self) -> bytes:
        data = self.server.files.get(self.path.strip("/").replace("resolve/main/", ""))
        self.send_response(200 if data is not None else self.server.status)
        if data is None:
            self.send_header("X-Error-Code", self.server.error)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hash(data)}"')
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        return data or b""

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    server = Hub()
    place = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", place)
    template = place + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def publish(hub: Hub, name: str) -> dict[str, torch.Tensor]:
    state = open_encoder("test_vit", "random:21").network.state_dict()
    classifier = {"head.weight": torch.zeros(10, 64), "head.bias": torch.zeros(10)}
    described = {"input_size": [3, 160, 160], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    config = {"architecture": "test_vit", "num_classes": 10, "pretrained_cfg": described}
    hub.files[f"{name}/config.json"] = json.dumps(config).encode()
    hub.files[f"{name}/model.safetensors"] = save(state | classifier)
    return state


def test_a_hub_name_is_downloaded_and_described(hub: Hub) -> None:
    state = publish(hub, "someone/tiny")
    encoder = open_encoder("hf-hub:someone/tiny")
    found = encoder.network.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    card = encoder.card
    assert (card.mean, card.std, card.input_px) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 160)
    assert (card.architecture, card.weights) == ("timm:test_vit", "hf-hub:someone/tiny")
    assert card.encoder_id == "hf-hub-someone-tiny"


def test_what_was_downloaded_is_used_where_there_is_no_network(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, "someone/tiny")
    first = open_encoder("hf-hub:someone/tiny").card
    hub.files.clear()
    monkeypatch.setattr(socket, "getaddrinfo", _nobody)
    assert open_encoder("hf-hub:someone/tiny").card == first
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, "GatedRepo"), (403, "GatedRepo"), (401, ""), (403, ""), (404, "RepoNotFound")],
)
def test_closed_weights_say_how_to_get_them(hub: Hub, status: int, error: str) -> None:
    hub.status, hub.error = status, error
    with pytest.raises(WeightsError, match=r"accept the licence on .* set HF_TOKEN .* --weights"):
        open_encoder("hf-hub:someone/closed")
    with pytest.raises(WeightsError, match=r"weights of uni_v1 .*huggingface\.co/MahmoodLab/UNI,"):
        open_encoder("uni_v1")


def test_without_a_network_one_sentence_says_what_to_do(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _nobody)
    for name in ("test_vit", "hf-hub:someone/tiny", "lunit-vits8"):
        with pytest.raises(WeightsError, match=r"hub cannot be reached, .* --weights FILE") as told:
            open_encoder(name)
        assert "\n" not in str(told.value)


def test_a_download_that_breaks_off_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(hub, "someone/tiny")
    hub.files["someone/tiny/model.safetensors"] = b"short"
    with pytest.raises(WeightsError, match="someone/tiny"):
        open_encoder("hf-hub:someone/tiny")


def _nobody(*_: Any, **__: Any) -> None:
    raise socket.gaierror(-2, "Name or service not known")
