"""A job that runs: its process, what it says, and how it ends. One thread starts it and listens."""

import json
import logging
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.errors import InvalidError, UnavailableError
from service.jobs.claims import Claim, End
from service.jobs.log import LONGEST, MOST, Said
from service.jobs.names import Names, in_words_of_json
from service.jobs.workers import kill_group, start_module
from workflows.progress import Rates, Update, share_done

EXIT_S = 5.0
"""What a process that has said its last has left until it is killed."""
LAST_LINES = 5
"""Lines of stderr that tell how a process died."""
LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) ")

log = logging.getLogger("microtome.jobs")


@dataclass(frozen=True)
class Prepared:
    """What the process of a job is given.

    Attributes:
        config: of the workflow.
        names: the client's names of places.
        folder: that it works in.
    """

    config: Mapping[str, Any]
    names: Names
    folder: Path


Prepare = Callable[[Claim], Prepared]


class Running:
    """A job of ours; the dispatcher looks at it, its own threads do the rest.

    Args:
        claim: the job.
        prepare: makes ready what the process is given; may wait for the cluster.
        wake: is called when there is news that should not wait.
    """

    def __init__(self, claim: Claim, prepare: Prepare, wake: Callable[[], None]) -> None:
        self.claim = claim
        self.stopping_since: float | None = None
        self._prepare, self._wake = prepare, wake
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._names = Names(())
        self._said: deque[Said] = deque(maxlen=MOST)
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._progress: dict[str, Any] | None = None
        self._rates = Rates()
        self._end: End | None = None
        self._thread = threading.Thread(target=self._run, name=f"job {claim.id}", daemon=True)
        self._thread.start()

    @property
    def end(self) -> End | None:
        """What became of it; None while it runs."""
        return None if self._thread.is_alive() else self._end or End("lost", "it was not begun")

    def news(self) -> tuple[dict[str, Any] | None, list[Said]]:
        """Take what was said since the last call."""
        with self._lock:
            progress, said = self._progress, list(self._said)
            self._progress = None
            self._said.clear()
            return progress, said

    def stop(self) -> None:
        """Ask it to stop, as Ctrl-C does; asked again it does nothing."""
        if self.stopping_since is None:
            self.stopping_since = time.monotonic()
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.stopping_since = self.stopping_since or time.monotonic()
        self._signal(signal.SIGKILL)

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; says whether it came."""
        self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None:
            with suppress(ProcessLookupError):
                process.send_signal(number)

    def _run(self) -> None:
        try:
            self._end = self._work()
        except (InvalidError, ValueError) as err:
            self._end = End("failed", str(err), 2)
        except (UnavailableError, OSError) as err:
            self._end = End("lost", str(err))
        except Exception as err:
            log.exception("job %s: unexpected", self.claim.id, extra={"job": self.claim.id})
            self._end = End("failed", f"unexpected: {type(err).__name__}", 1)
        finally:
            self._wake()

    def _work(self) -> End:
        prepared = self._prepare(self.claim)
        self._names = prepared.names
        if self.stopping_since is not None:
            return End("cancelled")
        request = {"workflow": self.claim.workflow, "config": prepared.config}
        process = start_module(
            "service.jobs.child", request, stderr=subprocess.PIPE, folder=prepared.folder
        )
        self._process = process
        if self.stopping_since is not None:  # asked for while it started
            process.terminate()
        listener = threading.Thread(target=self._hear_errors, args=(process,), daemon=True)
        listener.start()
        end = self._hear(process)
        with suppress(subprocess.TimeoutExpired):
            process.wait(EXIT_S)
        code = process.poll()
        kill_group(process)
        listener.join(EXIT_S)
        return end or self._death(code)

    def _hear(self, process: "subprocess.Popen[bytes]") -> End | None:
        """Take the process's lines until it has said its last."""
        assert process.stdout is not None
        for line in process.stdout:
            try:
                known = json.loads(line, parse_constant=lambda _: None)
            except ValueError:  # cut short by its death
                break
            if "end" in known:
                return self._shown(End(**known["end"]))
            self._note(Update(**known["update"]))
        return None

    def _note(self, update: Update) -> None:
        with self._lock:
            self._rates.add(update)
            self._progress = _progress(update, self._rates)

    def _hear_errors(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stderr is not None
        with suppress(ValueError, OSError):  # closed while it was read
            for line in process.stderr:
                text = line.decode(errors="replace").rstrip()
                if text:
                    self._hear_line(text[:LONGEST])

    def _hear_line(self, text: str) -> None:
        found = LEVEL.match(text)
        level = found[1].lower() if found else "info"
        shown = self._sentence(text[found.end() :] if found else text)
        log.info("job %s: %s", self.claim.id, text, extra={"job": self.claim.id})
        self._last.append(shown)
        with self._lock:
            self._said.append((level, shown))

    def _shown(self, end: End) -> End:
        """Put an end into the client's names; of the config it is shown what the client gave."""
        document = None if end.document is None else dict(self._names.document(end.document))
        if document is not None and "config" in document:
            document["config"] = dict(self.claim.config)
        error = None if end.error is None else self._sentence(end.error)
        return End(end.state, error, end.exit_code, document)

    def _sentence(self, text: str) -> str:
        return in_words_of_json(self._names.shown(text))

    def _death(self, code: int | None) -> End:
        how = "does not end" if code is None else _how(code)
        last = f"; its last words: {' / '.join(self._last)}" if self._last else ""
        return End("lost", f"its process {how}{last}")


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"died by {signal.Signals(-code).name}"
    except ValueError:
        return f"died by signal {-code}"


def _progress(update: Update, rates: Rates) -> dict[str, Any]:
    left_s = rates.left_s()
    return {
        "share": round(share_done(update), 4),
        "noun": update.noun,
        "total": update.slides_total,
        "done": update.slides_done,
        "failed": update.slides_failed,
        "patches_total": update.patches_total,
        "patches_done": update.patches_done,
        "patches_per_s": round(rates.patches_per_s, 1),
        "mb_per_s": round(rates.bytes_per_s / 1e6, 3),
        "elapsed_s": round(update.elapsed_s, 1),
        "left_s": None if left_s is None else round(left_s, 1),
    }
