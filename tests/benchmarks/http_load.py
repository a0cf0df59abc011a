"""A load generator that costs little: processes with raw sockets, the same for every server.

A connection is kept as long as the server keeps it, and asked for the next address as soon as
the answer before is there.
"""

import multiprocessing
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"


@dataclass
class Loaded:
    """What a load gave."""

    answers: int = 0
    errors: int = 0
    seconds: float = 0.0
    waits_ms: list[float] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds

    def quantile_ms(self, share: float) -> float:
        """How long that share of the answers took at most."""
        return sorted(self.waits_ms)[int(share * (len(self.waits_ms) - 1))]


@dataclass
class _Line:
    """One connection."""

    sock: socket.socket
    paths: list[str]
    at: int = 0
    sent: float = 0.0
    data: bytearray = field(default_factory=bytearray)
    end: int = -1


def load(
    port: int, paths: Sequence[str], clients: int, seconds: float, *, once: bool = False
) -> Loaded:
    """Ask for addresses with so many clients at a time.

    Args:
        port: on loopback.
        paths: each client takes every so-manieth.
        clients: connections.
        seconds: for so long.
        once: stop when every address was asked for once.
    """
    parts = [list(paths[i::clients]) for i in range(clients)]
    workers = min(2, clients)
    context = multiprocessing.get_context("fork")
    found: multiprocessing.Queue[Loaded] = context.Queue()
    processes = [
        context.Process(target=_work, args=(port, parts[i::workers], seconds, once, found))
        for i in range(workers)
    ]
    for process in processes:
        process.start()
    results = [found.get() for _ in processes]
    for process in processes:
        process.join()
    return Loaded(
        sum(one.answers for one in results),
        sum(one.errors for one in results),
        max(one.seconds for one in results),
        [wait for one in results for wait in one.waits_ms],
    )


def _work(
    port: int,
    parts: list[list[str]],
    seconds: float,
    once: bool,
    found: "multiprocessing.Queue[Loaded]",
) -> None:
    selector, result = selectors.DefaultSelector(), Loaded()
    start = time.perf_counter()
    lines = [_Line(_connected(port), part) for part in parts if part]
    for line in lines:
        selector.register(line.sock, selectors.EVENT_READ, line)
        _ask(line)
    open_lines = len(lines)
    while open_lines and time.perf_counter() - start < seconds:
        for key, _ in selector.select(1):
            line = key.data
            if not _take(line, result):
                continue
            if once and line.at >= len(line.paths):
                selector.unregister(line.sock)
                open_lines -= 1
                continue
            if line.end == 0:  # the server closed
                selector.unregister(line.sock)
                line.sock.close()
                line.sock = _connected(port)
                selector.register(line.sock, selectors.EVENT_READ, line)
            _ask(line)
    result.seconds = time.perf_counter() - start
    found.put(result)


def _connected(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _ask(line: _Line) -> None:
    path = line.paths[line.at % len(line.paths)]
    line.at += 1
    line.data.clear()
    line.end, line.sent = -1, time.perf_counter()
    line.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())


def _take(line: _Line, result: Loaded) -> bool:
    """Read what is there; whether the answer is complete."""
    piece = line.sock.recv(1 << 18)
    line.data += piece
    if line.end < 0:
        head = line.data.find(END_OF_HEAD)
        if head >= 0:
            lower = bytes(line.data[:head]).lower()
            at = lower.find(LENGTH)
            line.end = head + 4 + int(lower[at + len(LENGTH) :].split(b"\r\n", 1)[0])
    complete = 0 <= line.end <= len(line.data)
    if not complete and piece:
        return False
    is_good = complete and line.data[9:12] == b"200"
    closes = not piece or b"connection: close" in bytes(line.data[:1000]).lower()
    closes = closes or line.data[:8] == b"HTTP/1.0"
    result.answers += is_good
    result.errors += not is_good
    result.waits_ms.append(1000 * (time.perf_counter() - line.sent))
    line.end = 0 if closes else line.end
    return True
