"""The client: what one can ask the service for."""

import io
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote

import pyarrow as pa
from PIL import Image

from service.client.embeddings import SlideEmbeddings, read_table, to_arrays
from service.client.transport import Transport
from service.client.uploads import Sent, send_file
from service.client.values import Areas, Job, Me, Neighbour, Slide, SlideMap
from service.client.waiting import Heard, wait_for

Format = Literal["h5", "pt", "npz", "parquet", "arrow"]


class Client:
    """Asks one service; may be shared between threads.

        with Client("http://127.0.0.1:8000", token) as client:
            job = client.submit("tile", {"slides": ["CMU-1"], "out": "demo.zarr"})
            client.wait(job.id)

    Every method may raise a `ProblemError`, which says why the service refuses, and an
    `httpx.TransportError` where it cannot be reached. Where the service is busy, what may be
    repeated is repeated.

    Args:
        url: of the service.
        token: made by `microtome token create`; none where the service has none.
        timeout_s: within which the service must answer, or send the next part.
        tries: how often what may be repeated is tried.
    """

    def __init__(
        self, url: str, token: str | None = None, *, timeout_s: float = 60.0, tries: int = 5
    ) -> None:
        self._transport = Transport(url, token, timeout_s, tries)

    def __enter__(self) -> "Client":
        """Give the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._transport.http.close()

    def me(self) -> Me:
        """Who the service takes the caller for."""
        return Me.model_validate(self._transport.json("GET", "me"))

    # Slides

    def slides(self, q: str | None = None, archive: str | None = None) -> Iterator[Slide]:
        """Give all slides, or those with `q` in their ID, or those of an archive."""
        for one in self._transport.pages("slides", q=q, archive=archive):
            yield Slide.model_validate(one)

    def slide(self, slide_id: str) -> Slide:
        """Look at a slide."""
        return Slide.model_validate(self._transport.json("GET", _slide(slide_id)))

    def register(self, path: str, id: str | None = None, mpp: float | None = None) -> Slide:
        """Register a slide by its path under the service's folder of slides."""
        wish = {"path": path} | _given(id=id, mpp=mpp)
        return Slide.model_validate(self._transport.json("POST", "slides", json=wish))

    def upload(
        self,
        file: Path | str,
        id: str | None = None,
        mpp: float | None = None,
        progress: Sent | None = None,
    ) -> Slide:
        """Send a slide file; what is interrupted goes on where it stopped."""
        wish = _given(id=id, mpp=mpp)
        return self.slide(send_file(self._transport, Path(file), wish, progress))

    def delete_slide(self, slide_id: str) -> None:
        """Take a slide out of the service; archives keep what was cut from it."""
        self._transport.ask("DELETE", _slide(slide_id))

    def thumbnail(self, slide_id: str, max_px: int = 512) -> Image.Image:
        """See a whole slide."""
        return self._image(f"{_slide(slide_id)}/thumbnail", max_px=max_px)

    def region(
        self,
        slide_id: str,
        corner: tuple[int, int],
        size_px: tuple[int, int],
        *,
        level: int | None = None,
        mpp: float | None = None,
    ) -> Image.Image:
        """See a rectangle of a slide.

        Args:
            slide_id: of the slide.
            corner: its upper left one, level-0 pixels.
            size_px: of the picture.
            level: whose pixels are given as they are; 0 by default.
            mpp: microns per pixel of the picture, instead of a level.
        """
        (x, y), (width, height) = corner, size_px
        params = {"x": x, "y": y, "width": width, "height": height, "format": "png"}
        return self._image(f"{_slide(slide_id)}/region", **params, **_given(level=level, mpp=mpp))

    # What archives hold of a slide

    def maps(self, slide_id: str) -> list[SlideMap]:
        """Give the tissue maps and heatmaps of a slide."""
        found = self._transport.json("GET", f"{_slide(slide_id)}/maps")
        return [SlideMap.model_validate(one) for one in found]

    def save_map(self, slide_id: str, name: str, to: Path | str) -> Path:
        """Save a map as a file; its ending says as what: .png, .geojson or .ome.tif."""
        endings = [one for one in (".png", ".geojson", ".ome.tif") if str(to).endswith(one)]
        if not endings:
            raise ValueError(f"a map is saved as .png, .geojson or .ome.tif, got {to}")
        return self._transport.save(f"{_slide(slide_id)}/maps/{_word(name)}{endings[0]}", to)

    def areas(self, slide_id: str, name: str) -> Areas:
        """Give the area of each class of a tissue map, mm²."""
        path = f"{_slide(slide_id)}/maps/{_word(name)}/areas"
        return Areas.model_validate(self._transport.json("GET", path))

    def embeddings(
        self, slide_id: str, encoder: str, archive: str | None = None
    ) -> SlideEmbeddings:
        """Give the embeddings of a slide as arrays."""
        return to_arrays(self.embedding_table(slide_id, encoder, archive))

    def embedding_table(self, slide_id: str, encoder: str, archive: str | None = None) -> pa.Table:
        """Give the embeddings of a slide as a table of Arrow, a row per patch."""
        path = f"{_slide(slide_id)}/embeddings/{_word(encoder)}"
        return read_table(self._transport, path, archive)

    def save_embeddings(
        self, slide_id: str, encoder: str, to: Path | str, format: Format = "h5"
    ) -> Path:
        """Save the embeddings of a slide as a file that another program reads."""
        path = f"{_slide(slide_id)}/embeddings/{_word(encoder)}"
        return self._transport.save(path, to, params={"format": format})

    def similar(
        self,
        slide_id: str,
        encoder: str,
        patch: int,
        *,
        archive: str | None = None,
        limit: int = 24,
    ) -> list[Neighbour]:
        """Give the patches of the archive that are most like one, the most similar first."""
        params = {"encoder": encoder, "patch": patch, "limit": limit} | _given(archive=archive)
        found = self._transport.json("GET", f"{_slide(slide_id)}/similar", params=params)
        return [Neighbour.model_validate(one) for one in found["items"]]

    # Jobs

    def workflows(self) -> dict[str, dict[str, Any]]:
        """Give what jobs may do, by name, with the JSON schema of each config."""
        return {one["name"]: one for one in self._transport.json("GET", "workflows")}

    def submit(
        self,
        workflow: str,
        config: Mapping[str, Any],
        *,
        priority: int = 0,
        key: str | None = None,
    ) -> Job:
        """Submit a job.

        Args:
            workflow: what to do.
            config: its options; places are named as clients name them.
            priority: higher ones go first.
            key: the same key gives the same job, however often it is sent; by default a new one.
        """
        body = {"workflow": workflow, "config": dict(config), "priority": priority}
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return _job(self._transport.json("POST", "jobs", json=body, headers=headers))

    def jobs(self, state: str | None = None, workflow: str | None = None) -> Iterator[Job]:
        """Give the caller's jobs, the newest first."""
        for one in self._transport.pages("jobs", state=state, workflow=workflow):
            yield _job(one)

    def job(self, job_id: str) -> Job:
        """Look at a job."""
        return _job(self._transport.json("GET", f"jobs/{_word(job_id)}"))

    def wait(
        self,
        job_id: str,
        progress: Heard | None = None,
        *,
        timeout_s: float = float("inf"),
        events: bool = True,
    ) -> Job:
        """Wait until a job has ended, also while the service is started anew.

        Args:
            job_id: of the job.
            progress: hears how far it is.
            timeout_s: for so long.
            events: whether to listen to its events; else it is asked for once a second.

        Raises:
            ClientError: it has not ended in time.
        """
        until = time.monotonic() + timeout_s
        return wait_for(self._transport, _word(job_id), progress, until, events=events)

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop."""
        return _job(self._transport.json("POST", f"jobs/{_word(job_id)}/cancel"))

    def outcome(self, job_id: str) -> dict[str, Any]:
        """Give what came of a job: what the command prints with `--json`."""
        found = self._transport.json("GET", f"jobs/{_word(job_id)}/outcome")
        return dict(found["document"])

    def log(self, job_id: str) -> list[str]:
        """Give the lines that a job wrote so far."""
        lines: list[str] = []
        after = 0
        while True:
            path = f"jobs/{_word(job_id)}/log"
            found = self._transport.json("GET", path, params={"after": after})
            if not found["items"]:
                return lines
            lines += [line["text"] for line in found["items"]]
            after = found["after"]

    def _image(self, path: str, **params: Any) -> Image.Image:
        answer = self._transport.ask("GET", path, params=params)
        image = Image.open(io.BytesIO(answer.content))
        image.load()
        return image


def _word(name: str) -> str:
    return quote(name, safe="")


def _slide(slide_id: str) -> str:
    return f"slides/{_word(slide_id)}"


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _job(document: Any) -> Job:
    return Job.model_validate(document)
