"""Training functions: a counter that saves each step, and others that go wrong in their own way."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.errors import NumericsError
from workflows.training.spec import Training

Line = dict[str, Any]
Tell = Callable[[Line], None]
Stop = Callable[[], bool]


def training(function: str, folder: Path, **arguments: Any) -> Training:
    """Describe one of these; with short waits, so that a test sees their end."""
    entry = f"tests.workflows.training.functions:{function}"
    words = {"folder": str(folder), **arguments}
    return Training(entry, words, str(folder), grace_s=20.0, lock_s=20.0)


def count(arguments: Line, tell: Tell, stop: Stop) -> Line:
    """Count to `steps`; a saved step is never done again, and `history` has each step done.

    It pauses at each step, until there is a file `hurry`.
    """
    folder = Path(arguments["folder"])
    state = saved(folder)
    tell({"kind": "start", "step": state["step"], "pid": os.getpid()})
    while state["step"] < arguments["steps"] and not stop():
        time.sleep(0.0 if (folder / "hurry").exists() else arguments.get("pause_s", 0.0))
        state = {"step": state["step"] + 1, "value": counted(state["step"] + 1, state["value"])}
        (folder / "new.json").write_text(json.dumps(state))
        (folder / "new.json").replace(folder / "state.json")
        with (folder / "history").open("a") as history:
            history.write(f"{state['step']} {os.getpid()}\n")
        tell({"kind": "step", **state})
    tell({"kind": "end", "step": state["step"]})
    return state


def counted(step: int, value: int) -> int:
    return (value * 31 + step) % 1_000_007


def saved(folder: Path) -> dict[str, int]:
    """Where a count stands."""
    file = folder / "state.json"
    found: dict[str, int] = (
        json.loads(file.read_text()) if file.exists() else {"step": 0, "value": 1}
    )
    return found


def steps_done(folder: Path) -> list[tuple[int, int]]:
    """Steps of a count and the processes that did them, as they were done."""
    lines = (folder / "history").read_text().splitlines()
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


def echo(arguments: Line, tell: Tell, stop: Stop) -> Line:
    del tell, stop
    return {"given": arguments}


def environment(arguments: Line, tell: Tell, stop: Stop) -> Line:
    del arguments, tell, stop
    return dict(os.environ)


def diverge(arguments: Line, tell: Tell, stop: Stop) -> Line:
    del arguments, tell, stop
    raise NumericsError("the loss of step 7 is nan")


def break_down(arguments: Line, tell: Tell, stop: Stop) -> Line:
    del tell, stop
    return {"never": arguments["no such key"]}


def die(arguments: Line, tell: Tell, stop: Stop) -> Line:
    del arguments, stop
    tell({"kind": "start", "pid": os.getpid()})
    os.write(2, b"the last words\n")
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def leave(arguments: Line, tell: Tell, stop: Stop) -> Line:
    del arguments, tell, stop
    os._exit(0)


def go_on(arguments: Line, tell: Tell, stop: Stop) -> Line:
    """Heed no request to stop, and no SIGTERM where `deaf`."""
    del stop
    if arguments.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell({"kind": "start", "pid": os.getpid()})
    while True:
        time.sleep(0.05)


def add_ranks(arguments: Line, tell: Tell, stop: Stop) -> Line:
    """Let all processes of a group add their ranks, and write down who listens where."""
    import psutil
    import torch
    from lightning_fabric import Fabric

    del stop
    fabric = Fabric(accelerator="cpu", devices=int(os.environ["WORLD_SIZE"]), strategy="ddp")
    fabric.launch()
    total = fabric.all_reduce(torch.tensor(float(fabric.global_rank + 1)), reduce_op="sum")
    tell({"kind": "rank", "rank": fabric.global_rank})
    found = {"total": float(total), "pid": os.getpid(), "listening": []}
    for process in (psutil.Process(), psutil.Process(os.getppid())):
        sockets = [each for each in process.net_connections() if each.status == psutil.CONN_LISTEN]
        found["listening"] += [each.laddr.ip for each in sockets]
    file = Path(arguments["folder"]) / f"rank-{fabric.global_rank}.json"
    file.write_text(json.dumps(found))
    fabric.barrier()
    return {"total": float(total), "rank": fabric.global_rank}


def stand_by(arguments: Line, tell: Tell, stop: Stop) -> Line:
    """Write down this process, and wait until it is asked to stop."""
    (Path(arguments["folder"]) / f"{os.environ['RANK']}.pid").write_text(str(os.getpid()))
    tell({"kind": "start"})
    while not stop():
        time.sleep(0.05)
    (Path(arguments["folder"]) / f"{os.environ['RANK']}.saved").touch()
    return {}


def fail_in_rank_1(arguments: Line, tell: Tell, stop: Stop) -> Line:
    """Fail in a process that is not heard, while the other goes on."""
    if os.environ["RANK"] == "1":
        diverge(arguments, tell, stop)
    return go_on(arguments, tell, stop)


def die_in_rank_1(arguments: Line, tell: Tell, stop: Stop) -> Line:
    """Die in a process that is not heard, once the other stands by."""
    if os.environ["RANK"] == "0":
        return stand_by(arguments, tell, stop)
    while not (Path(arguments["folder"]) / "0.pid").exists():
        time.sleep(0.05)
    return die(arguments, tell, stop)
