"""Who writes which slide: leases with a heartbeat, so that several runs share one archive.

A run announces itself in `runs/<token>.json` and keeps changing it. A lease is the object
`leases/<slide_id>/<generation>`, made exclusively, holding the run's token; the highest generation
owns the slide. A dead run's lease is taken over by making the next generation, which again only one
can. Nothing here compares clocks of two machines: a run is dead when its process is gone (same
machine), or when an observer saw no change of its heartbeat for `STALE_S` of its own clock.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from tiling.errors import LeaseError
from tiling.storage import SCRATCH, Storage

BEAT_S = 5.0
STALE_S = 60.0

log = logging.getLogger(__name__)


def _this_process() -> dict[str, Any]:
    namespace = Path("/proc/self/ns/pid")
    return {
        "host": socket.gethostname(),
        "namespace": str(namespace.readlink()) if namespace.is_symlink() else "",
        "pid": os.getpid(),
        "started": _start_time(os.getpid()),
    }


def _start_time(pid: int) -> str:
    """Tell a process from a later one with the same number; empty where it cannot be told, or died.

    A killed process whose parent has not noticed yet, as in containers without an init, has died.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # proc(5): field 3, state, and 22, starttime
    return "" if fields[0] in "ZX" else fields[19]


def _process_is_gone(owner: dict[str, Any]) -> bool:
    """Whether the owner ran on this machine and does not any more."""
    here = _this_process()
    if (owner["host"], owner["namespace"]) != (here["host"], here["namespace"]):
        return False
    if _start_time(owner["pid"]) != owner["started"]:
        return True
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


class Leases:
    """This run's leases on slides of one archive; a context manager that gives all of them back."""

    def __init__(
        self, storage: Storage, *, beat_s: float = BEAT_S, stale_s: float = STALE_S
    ) -> None:
        self.token = uuid.uuid4().hex[:12]
        self._storage = storage
        self._beat_s, self._stale_s = beat_s, stale_s
        self._held: dict[str, int] = {}
        self._seen: dict[str, tuple[int, float]] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Leases":
        """Announce the run and start its heartbeat."""
        self._beat(0)
        self._thread = threading.Thread(target=self._beats, name="lease heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give everything back; the scratch folder goes when nobody is left in it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for slide_id in list(self._held):
            self.release(slide_id)
        self._storage.delete(self._run_key(self.token))
        self._storage.prune(SCRATCH)

    def acquire(self, slide_id: str) -> bool:
        """Take the slide if it is free or its owner is dead; says whether it is ours now."""
        generations = self._generations(slide_id)
        if generations and not self._is_dead(self._owner(slide_id, generations[-1])):
            return False
        mine = generations[-1] + 1 if generations else 0
        if not self._storage.create(self._lease_key(slide_id, mine), self.token.encode()):
            return False
        if generations:
            log.info("took over slide %s from a run that died", slide_id)
        self._held[slide_id] = mine
        return True

    def owns(self, slide_id: str) -> bool:
        """Whether the slide is still ours, whatever other runs did meanwhile."""
        mine = self._held.get(slide_id)
        if mine is None or self._generations(slide_id)[-1:] != [mine]:
            return False
        # after a takeover that was given back, a third run's lease may have our number
        return self._owner(slide_id, mine) == self.token

    def check(self, slide_id: str) -> None:
        """Raise `LeaseError` unless the slide is still ours; to be called right before a commit."""
        if not self.owns(slide_id):
            raise LeaseError(
                f"{slide_id}: this run did not show a sign of life for {self._stale_s:g} s, "
                "and another run has taken the slide over"
            )

    def release(self, slide_id: str) -> None:
        """Give the slide back; older generations go first, so that none of them comes to life.

        Of a slide that another run has taken over, everything is left to that run.
        """
        is_ours = self.owns(slide_id)
        mine = self._held.pop(slide_id)
        if not is_ours:
            return
        for generation in self._generations(slide_id):
            if generation <= mine:
                self._storage.delete(self._lease_key(slide_id, generation))

    def sweep(self) -> None:
        """Remove what dead runs left: their staged slides, their leases, their announcements."""
        for name in self._storage.names(f"{SCRATCH}/staging"):
            if self._is_dead(name.rpartition(".")[2]):
                self._storage.delete(f"{SCRATCH}/staging/{name}")
        for slide_id in self._storage.names(f"{SCRATCH}/leases"):
            generations = self._generations(slide_id)
            if all(self._is_dead(self._owner(slide_id, number)) for number in generations):
                for number in generations:
                    self._storage.delete(self._lease_key(slide_id, number))
        self._sweep_runs()

    def _sweep_runs(self) -> None:
        names = [n for n in self._storage.names(f"{SCRATCH}/runs") if n.endswith(".json")]
        dead = [name for name in names if self._is_dead(name.removesuffix(".json"))]
        for name in dead:
            self._storage.delete(f"{SCRATCH}/runs/{name}")
        if set(names) - set(dead) == {f"{self.token}.json"}:
            self._tidy()

    def _tidy(self) -> None:
        """Remove what cut-off writes left; only a run that is alone may, lest one is under way."""
        leases = f"{SCRATCH}/leases"
        folders = [f"{leases}/{slide_id}" for slide_id in self._storage.names(leases)]
        for prefix in ("", f"{SCRATCH}/runs", *folders):
            self._storage.tidy(prefix)

    def _run_key(self, token: str) -> str:
        return f"{SCRATCH}/runs/{token}.json"

    def _lease_key(self, slide_id: str, generation: int) -> str:
        return f"{SCRATCH}/leases/{slide_id}/{generation:06d}"

    def _generations(self, slide_id: str) -> list[int]:
        names = self._storage.names(f"{SCRATCH}/leases/{slide_id}")
        return sorted(int(name) for name in names if name.isdecimal())

    def _owner(self, slide_id: str, generation: int) -> str:
        try:
            return self._storage.read(self._lease_key(slide_id, generation)).decode()
        except FileNotFoundError:  # given back just now
            return ""

    def _is_dead(self, token: str) -> bool:
        if token in (self.token, ""):  # a lease that was given back just now has no owner
            return False
        try:
            owner = json.loads(self._storage.read(self._run_key(token)))
        except FileNotFoundError:
            return True
        if _process_is_gone(owner):
            return True
        beat, since = self._seen.get(token, (-1, 0.0))
        if beat != owner["beat"]:
            self._seen[token] = (owner["beat"], time.monotonic())
            return False
        return time.monotonic() - since > self._stale_s

    def _beat(self, count: int) -> None:
        document = _this_process() | {"beat": count}
        self._storage.write(self._run_key(self.token), [json.dumps(document).encode()])

    def _beats(self) -> None:
        count = 0
        while not self._stop.wait(self._beat_s):
            count += 1
            try:
                self._beat(count)
            except OSError as err:  # a full or absent disk: the run's own writes will say so
                log.warning("heartbeat failed: %s", err)


def require_owner(storage: Storage, slide_id: str, token: str) -> None:
    """Raise `LeaseError` unless a run holds the slide; for its workers, before they write in place.

    Args:
        storage: of the archive.
        slide_id: of the slide.
        token: of the run.
    """
    leases = f"{SCRATCH}/leases/{slide_id}"
    numbers = [name for name in storage.names(leases) if name.isdecimal()]
    try:
        owner = storage.read(f"{leases}/{max(numbers, default='')}").decode()
    except OSError:  # given back just now, or never held
        owner = ""
    if owner != token:
        raise LeaseError(f"{slide_id}: its run has ended, or another one has taken it over")
