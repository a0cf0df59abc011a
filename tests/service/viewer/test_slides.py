"""The list of slides and the slide itself, in a real browser on a real server."""

import re
import signal
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.service.conftest import starting
from tests.service.viewer.conftest import DATA, SLIDE, Visit, visiting
from tests.service.viewer.seeing import (
    HEIGHT,
    MPP,
    WIDTH,
    expected,
    opened,
    pixels,
    place,
    settled,
    shows,
    stage,
    tissue,
    until,
)


@pytest.fixture(scope="module")
def second(site: str) -> str:
    """Another slide, known from its file alone."""
    answer = httpx.post(f"{site}/api/v1/slides", json={"path": f"{SLIDE}.svs", "id": "another"})
    assert answer.status_code == 201
    return "another"


def test_slides_are_listed_with_their_picture_and_what_is_known(visit: Visit, site: str) -> None:
    page = visit()
    card = page.locator(".card", has_text=SLIDE)
    expect(card).to_contain_text("2,220 \N{MULTIPLICATION SIGN} 2,967 px, 0.499 µm/px")
    held = httpx.get(f"{site}/api/v1/slides").json()["items"][0]["archives"]  # jobs may add some
    patches = f"{sum(one['patches'] for one in held)} patches"
    expect(card.locator(".badge")).to_have_text([patches, "2 maps", "2 encoders"])
    until(page, "document.querySelector('.card img').naturalWidth > 100")
    assert tissue(pixels(card.locator("img"))).mean() > 0.05


def test_search_narrows_the_list_and_is_kept_in_the_address(visit: Visit, second: str) -> None:
    page = visit()
    expect(page.locator(".card")).to_have_count(2)
    page.get_by_label("Search slides").fill("small-reg")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".card-name")).to_have_text(SLIDE)
    assert place(page) == {"q": "small-reg"}
    page.reload()
    expect(page.get_by_label("Search slides")).to_have_value("small-reg")
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_label("Search slides").fill("no such slide")
    expect(page.locator(".state")).to_contain_text("No slide matches.")


def test_an_opened_slide_shows_the_pixels_of_its_file(visit: Visit, cmu_slide: Path) -> None:
    page = visit()
    page.locator(".card", has_text=SLIDE).click()
    expect(page.locator("h1")).to_have_text(SLIDE)
    seen = opened(page)
    shows(seen, expected(cmu_slide, page, seen.shape[:2]), 0.4)


def test_zooming_draws_finer_tiles_of_the_same_place(visit: Visit, cmu_slide: Path) -> None:
    page = visit(f"#/slides/{SLIDE}")
    opened(page)
    coarse = float(place(page)["zoom"])
    for _ in range(4):
        page.get_by_role("button", name="Nearer").click()
    until(page, "before => Number(/zoom=([\\d.]+)/.exec(location.hash)?.[1]) > 4 * before", coarse)
    seen = settled(page)
    assert float(place(page)["zoom"]) == pytest.approx(coarse * 1.5**4, rel=0.01)
    shows(seen, expected(cmu_slide, page, seen.shape[:2]))


def test_the_wheel_zooms_and_dragging_moves(visit: Visit, cmu_slide: Path) -> None:
    page = visit(f"#/slides/{SLIDE}?x=1110&y=1500&zoom=0.5")
    opened(page)
    page.mouse.move(450, 420)
    page.mouse.wheel(0, -300)
    until(page, "!location.hash.includes('zoom=0.5&')")
    page.mouse.down()
    page.mouse.move(350, 380, steps=5)
    page.mouse.up()
    seen = settled(page)
    page.wait_for_timeout(300)  # the address follows once the view rests
    shows(seen, expected(cmu_slide, page, seen.shape[:2]))


def test_the_scale_bar_is_as_long_as_it_says(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}")
    seen = opened(page)
    row = seen[seen.shape[0] // 8, 100:745]  # glass beside the tissue, and nothing of the slide
    ground = row[30]
    inside = (abs(row - ground).sum(axis=-1) > 6).nonzero()[0]
    um_per_px = WIDTH * MPP / (inside.max() - inside.min() + 1)
    said = re.match(r"([\d.]+) (µm|mm)", page.locator(".scale-text").inner_text())
    assert said is not None
    um = float(said[1]) * (1000 if said[2] == "mm" else 1)
    box = page.locator(".scale-line").bounding_box()
    assert box is not None
    assert box["width"] * um_per_px == pytest.approx(um, rel=0.01)


def test_the_scale_bar_follows_the_zoom(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}?x=1110&y=1500&zoom=2")
    opened(page)
    expect(page.locator(".scale-text")).to_have_text(
        "20 µm · 40\N{MULTIPLICATION SIGN}"
    )  # 0.2495 um per pixel
    box = page.locator(".scale-line").bounding_box()
    assert box is not None
    assert box["width"] == pytest.approx(20 / (MPP / 2), abs=0.2)


def test_a_permalink_shows_the_same_place_in_another_window(visit: Visit, cmu_slide: Path) -> None:
    link = f"#/slides/{SLIDE}?x=900&y=1800&zoom=0.8"
    wide = opened(visit(link))
    page = visit(link, {"width": 1100, "height": 700})
    page.reload()
    small = opened(page)
    assert small.shape[1] < wide.shape[1]
    shows(small, expected(cmu_slide, page, small.shape[:2]), 0.4)
    assert {name: place(page)[name] for name in ("x", "y", "zoom")} == {
        "x": "900",
        "y": "1800",
        "zoom": "0.8",
    }


def test_the_whole_slide_is_one_key_away(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}?x=300&y=300&zoom=2")
    page.locator(".tools").wait_for()
    page.keyboard.press("0")
    until(page, "!location.hash.includes('zoom=2&')")
    opened(page)
    assert float(place(page)["x"]) == pytest.approx(WIDTH / 2, abs=1)
    assert float(place(page)["y"]) == pytest.approx(HEIGHT / 2, abs=1)


def test_a_slide_that_no_archive_holds_is_shown_and_says_so(visit: Visit, second: str) -> None:
    page = visit(f"#/slides/{second}")
    opened(page)
    expect(page.locator("#section-maps")).to_contain_text("There is no map of this slide yet.")
    expect(page.locator("#section-patches")).to_contain_text("No archive holds patches")
    page.get_by_role("button", name="Patch grid").click()
    page.get_by_role("button", name="Map", exact=True).click()


def test_a_slide_whose_file_is_out_of_reach_is_shown_by_its_thumbnail(
    browser: Browser, served: str
) -> None:
    with visiting(browser, served) as (visit, troubles):
        page = visit()
        expect(page.locator(".badge").last).to_have_text("thumbnail only")
        page.locator(".card").click()
        opened(page)
        expect(page.locator(".panel-head")).to_contain_text("Only the thumbnail")
        expect(page.locator("#section-region")).to_have_count(0)
        expect(page.locator(".scale-text")).to_have_text("200 µm · 5\N{MULTIPLICATION SIGN}")
        assert troubles == []


def test_the_back_button_leads_back_to_the_list(visit: Visit) -> None:
    page = visit()
    page.locator(".card", has_text=SLIDE).click()
    opened(page)
    page.go_back()
    expect(page.locator(".card").first).to_be_visible()
    assert stage_is_gone(page)


def stage_is_gone(page: object) -> bool:
    return page.locator("canvas").count() == 0  # type: ignore[attr-defined]


def test_a_slide_that_is_not_there_is_a_sentence_and_its_name_is_text(
    browser: Browser, site: str
) -> None:
    name = "<img src=x onerror=document.title=1>"
    with visiting(browser, site) as (visit, troubles):
        page = visit("#/slides/%3Cimg%20src%3Dx%20onerror%3Ddocument.title%3D1%3E")
        expect(page.get_by_role("alert")).to_contain_text(f"There is no slide '{name}'.")
        assert page.locator("main img").count() == 0
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        page.goto(f"{site}/#/slides/{SLIDE}")
        opened(page)
        assert all("404" in one for one in troubles)


def test_an_unknown_page_says_so(visit: Visit) -> None:
    page = visit("#/nothing")
    expect(page.locator("main")).to_contain_text("There is no such page.")


def test_associated_images_are_read_only_when_they_are_asked_for(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}")
    asked: list[str] = []
    page.on("request", lambda one: "/associated" in one.url and asked.append(one.url))
    opened(page)
    assert asked == []
    page.locator("#section-associated > summary").click()
    expect(page.locator("#section-associated figcaption")).to_have_text(
        ["label", "macro", "thumbnail"]
    )
    page.locator("#section-associated img").first.scroll_into_view_if_needed()
    until(page, "document.querySelector('#section-associated img').naturalWidth === 387")
    assert stage(page).shape[0] > 500


def test_a_server_that_went_away_is_told_and_tried_again(browser: Browser, work: Path) -> None:
    words = ["--work", work, "--slides", DATA, "--jobs", "0"]
    with starting(*words) as (url, process), visiting(browser, url) as (visit, _):
        page = visit(f"#/slides/{SLIDE}")
        opened(page)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        page.get_by_role("button", name="Nearer").click(click_count=4)
        expect(page.get_by_role("alert")).to_contain_text("could not be loaded")
        page.get_by_role("link", name="Jobs").click()
        expect(page.get_by_role("alert")).to_contain_text("The service does not answer.")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
