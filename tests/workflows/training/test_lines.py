"""Lines between processes: whole, in order, whoever else writes and dies."""

import json
import subprocess
import sys
from pathlib import Path

from tests.tiling.faults.harness import environment
from workflows.training.lines import LineReader, LineWriter, Said


def test_a_line_in_two_halves_is_read_once_it_is_whole(tmp_path: Path) -> None:
    reader = LineReader(tmp_path / "lines")
    with (tmp_path / "lines").open("ab", buffering=0) as file:
        file.write(b'["line", {"a": 1}]\n["line", {"b"')
        assert reader.read() == [Said("line", {"a": 1})]
        assert reader.read() == []
        file.write(b": 2}]\n")
        assert reader.read() == [Said("line", {"b": 2})]
    reader.close()


def test_nothing_is_there_before_anything_is_said(tmp_path: Path) -> None:
    reader = LineReader(tmp_path / "lines")
    assert reader.read() == []
    reader.close()


WRITE = """
import sys
from pathlib import Path
from workflows.training.lines import LineWriter
writer = LineWriter(Path(sys.argv[1]))
for number in range(500):
    writer.write("line", {"from": sys.argv[2], "number": number, "long": "x" * 9000})
"""


def test_lines_of_two_processes_never_mix(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    reader = LineReader(file)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, str(file), name], env=environment())
        for name in "ab"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    said = [value for _, value in reader.read()]
    for name in "ab":
        numbers = [value["number"] for value in said if value["from"] == name]
        assert numbers == list(range(500))
    reader.close()


def test_numbers_that_json_does_not_know_survive(tmp_path: Path) -> None:
    reader, writer = LineReader(tmp_path / "lines"), LineWriter(tmp_path / "lines")
    writer.write("line", {"loss": float("nan"), "scale": float("inf")})
    assert json.dumps(reader.read()[0].value) == '{"loss": NaN, "scale": Infinity}'
    reader.close()
    writer.close()
