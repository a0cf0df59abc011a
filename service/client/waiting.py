"""Waiting for a job: by its events, and by asking where those do not come through."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from service.client.errors import ClientError, ProblemError
from service.client.transport import BUSY, Transport
from service.client.values import Job, Progress

Heard = Callable[[Progress], None]
"""Hears how far a job is."""

SILENCE_S = 40.0
"""The service sends something every fifteen seconds; after this time a proxy holds events back."""
PAUSE_S = 1.0


def wait_for(
    transport: Transport, job_id: str, heard: Heard | None, until: float, *, events: bool
) -> Job:
    """Wait until a job has ended, also while the service is started anew.

    Args:
        transport: of the service.
        job_id: of the job.
        heard: hears how far it is.
        until: moment of `time.monotonic` at which waiting ends.
        events: whether to listen; else the job is asked for once a second.

    Raises:
        ClientError: it has not ended in time.
        ProblemError: the service refuses.
    """
    last = ""
    while time.monotonic() < until:
        if events:
            try:
                last = _listen(transport, job_id, heard, last, until)
            except httpx.ReadTimeout:
                events = False
            except (httpx.TransportError, ProblemError) as err:
                _require_passing(err)  # the service is started anew; ask, then listen again
        job = _look(transport, job_id)
        if job is not None and heard is not None and job.progress is not None and not events:
            heard(job.progress)
        if job is not None and job.has_ended:
            return job
        time.sleep(PAUSE_S)
    raise ClientError(f"the job {job_id} has not ended in time")


def _require_passing(err: Exception) -> None:
    """Raise an error again that will not go away by itself."""
    if isinstance(err, ProblemError) and err.status not in BUSY:
        raise err


def _look(transport: Transport, job_id: str) -> Job | None:
    try:
        return Job.model_validate(transport.json("GET", f"jobs/{job_id}"))
    except (httpx.TransportError, ProblemError) as err:
        _require_passing(err)
        return None


def _listen(transport: Transport, job_id: str, heard: Heard | None, last: str, until: float) -> str:
    """Hear events until the stream ends; gives the ID of the last one."""
    headers = {"Last-Event-ID": last} if last else {}
    timeout = httpx.Timeout(SILENCE_S)
    path = f"jobs/{job_id}/events"
    with transport.streaming(path, headers=headers, timeout=timeout) as answer:
        for event in read_events(answer.iter_lines()):
            last = event.get("id", last)
            if event.get("event") == "progress" and heard is not None:
                heard(Progress.model_validate(json.loads(event["data"])))
            if time.monotonic() >= until:
                break
    return last


def read_events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Read server-sent events, each as its fields; comments are left out."""
    fields: dict[str, Any] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield fields
            fields = {}
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data" and "data" in fields:
            fields["data"] += "\n" + value
        elif name:
            fields[name] = value
