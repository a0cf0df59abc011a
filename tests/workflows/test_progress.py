import pytest

from workflows import progress
from workflows.progress import Rates, Update, choose_display, describe, shown


def test_the_time_left_follows_the_share_of_the_work() -> None:
    rates = Rates()
    rates.add(Update(10, 2, 0, 200, 200, 4000, elapsed_s=1.0))
    rates.add(Update(10, 4, 0, 400, 400, 8000, elapsed_s=2.0))
    assert rates.patches_per_s == pytest.approx(200)
    assert rates.bytes_per_s == pytest.approx(4000)
    assert rates.left_s() == pytest.approx(3.0)


def test_rates_forget_what_is_long_ago() -> None:
    rates = Rates()
    rates.add(Update(1, 0, 0, 100_000, 0, elapsed_s=0.0))
    for second in range(100, 131):
        rates.add(Update(1, 0, 0, 100_000, 10 * (second - 100), elapsed_s=float(second)))
    assert rates.patches_per_s == pytest.approx(10)


def test_nothing_known_gives_no_time_left() -> None:
    rates = Rates()
    assert rates.left_s() is None
    rates.add(Update(3))
    assert rates.left_s() is None
    assert describe(Update(3), rates) == "0/3 slides"


def test_a_line_tells_slides_patches_and_rates() -> None:
    rates = Rates()
    update = Update(4, 2, 1, 2000, 1000, 5_000_000, elapsed_s=10.0)
    rates.add(Update(4))
    rates.add(update)
    told = describe(update, rates)
    assert "2/4 slides, 1 failed, 1,000/2,000 patches, 100 patches/s, 0.5 MB/s" in told
    assert told.endswith("left")


def test_plain_lines_come_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    assert choose_display(quiet=False) == "lines"
    with shown("lines") as callback:
        callback(Update(3, 1))
    assert capsys.readouterr().err == "1/3 slides\n"


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert choose_display(quiet=True) == "none"
    with shown("none") as callback:
        callback(Update(3, 1))
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert choose_display(quiet=False) == "live"
    with shown("live") as callback:
        callback(Update(3, 1, 0, 10, 5, 100, 1.0))
