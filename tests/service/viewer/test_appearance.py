"""Light and dark, phones, the keyboard alone, and the page of the API."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.service.viewer.conftest import PHONE, SLIDE, Visit, visiting
from tests.service.viewer.seeing import opened, pixels, until

PAGES = ["#/slides", f"#/slides/{SLIDE}?map=tissue&patch=3", "#/jobs", "#/jobs/new/tile"]


def brightness(page: Page) -> float:
    """Of the bar at the top, 0 to 255."""
    return float(pixels(page.locator("#bar")).mean())


def test_the_page_is_dark_where_the_system_is(browser: Browser, site: str) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        with visiting(browser, site, color_scheme=scheme) as (visit, troubles):
            page = visit()
            page.locator(".card").first.wait_for()
            seen[scheme] = brightness(page)
            assert troubles == []
    assert seen["light"] > 200
    assert seen["dark"] < 70


def test_the_theme_that_was_chosen_is_kept(visit: Visit) -> None:
    page = visit()
    page.locator(".card").first.wait_for()
    page.get_by_role("button", name="Light or dark").click()
    assert brightness(page) < 70
    page.reload()
    page.locator(".card").first.wait_for()
    assert brightness(page) < 70
    page.keyboard.press("t")
    assert brightness(page) > 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", PAGES)
def test_text_stands_out_from_its_ground(
    browser: Browser, site: str, address: str, scheme: str
) -> None:
    with visiting(browser, site, color_scheme=scheme) as (visit, _):
        page = visit(address)
        page.locator("h1").first.wait_for()
        page.wait_for_timeout(800)
        faint = page.evaluate(CONTRAST)
    assert faint == []


CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!text || !element.checkVisibility() || element.closest(':disabled')) continue;
    const pair = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) faint.push([element.textContent.slice(0, 40), ratio]);
  }
  return faint;
}"""


@pytest.mark.parametrize("address", [*PAGES, "#/jobs/new", "docs"])
def test_nothing_is_wider_than_a_phone(visit: Visit, address: str) -> None:
    page = visit(address, PHONE)
    page.locator("h1, h2").first.wait_for()
    page.wait_for_timeout(600)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_phone_shows_slide_map_and_legend(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}?map=tissue", PHONE)
    opened(page)
    stage = page.locator(".stage").bounding_box()
    assert stage is not None
    assert stage["width"] == PHONE["width"]
    assert stage["height"] > 300
    row = page.locator(".legend-row").first
    row.scroll_into_view_if_needed()
    expect(row).to_be_in_viewport()
    for button in page.locator(".tool").all():
        box = button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 40, "too small for a finger"


def test_everything_is_reached_by_the_keyboard_alone(visit: Visit) -> None:
    page = visit()
    page.locator(".card").first.wait_for()
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("small")
    expect(page.locator(".card-name")).to_have_text(SLIDE)
    page.keyboard.press("Tab")
    expect(page.locator(".card").first).to_be_focused()
    page.keyboard.press("Enter")
    opened(page)
    page.keyboard.press("m")
    until(page, "location.hash.includes('map=')")
    page.keyboard.press("g")
    until(page, "location.hash.includes('grid=1')")
    page.keyboard.press("Enter")
    until(page, "location.hash.includes('patch=')")
    page.keyboard.press("Escape")
    until(page, "!location.hash.includes('patch=')")


def test_arrow_keys_move_the_slide_and_letters_do_not_turn_it(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}?x=1110&y=1484&zoom=1")
    opened(page)
    page.locator(".openseadragon-canvas").first.focus()
    page.keyboard.press("ArrowRight")
    until(page, "Number(/x=(\\d+)/.exec(location.hash)[1]) > 1120")
    before = opened(page)
    for key in ("r", "Escape", "f", "Escape", "j"):
        if key in ("r", "Escape"):
            page.keyboard.press(key)
    assert (opened(page) == before).mean() > 0.99


def test_every_stop_of_the_keyboard_is_seen_and_named(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}?map=tissue&patch=3")
    opened(page)
    stops: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate(FOCUS)
        if found is None:
            break
        assert found["name"], f"no name: {found['html']}"
        assert found["outline"], f"the focus is not seen: {found['html']}"
        stops.append(found["name"])
    assert len(stops) > 20


FOCUS = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const label = one.labels?.[0]?.textContent || one.getAttribute('aria-label') || one.textContent;
  const style = getComputedStyle(one);
  const outline = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
  return { name: label.trim(), outline, html: one.outerHTML.slice(0, 120) };
}"""


def test_the_keys_are_told_in_a_dialog_that_gives_the_focus_back(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}")
    opened(page)
    page.get_by_role("button", name="Keys").focus()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("Patch grid")
    page.keyboard.press("g")
    assert "grid" not in page.url
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Keys")).to_be_focused()


def test_every_picture_control_and_heading_has_its_name(visit: Visit) -> None:
    for address in PAGES:
        page = visit(address)
        page.locator("h1").first.wait_for()
        page.wait_for_timeout(500)
        assert page.evaluate(NAMELESS) == []
        assert page.locator("h1").count() == 1
        assert page.title().endswith("microtome")


NAMELESS = """() => [...document.querySelectorAll('button, a, input, select, textarea, img')]
  .filter(one => one.checkVisibility())
  .filter(one => one.tagName === 'IMG' ? !one.hasAttribute('alt')
    : !(one.labels?.length || one.getAttribute('aria-label') || one.textContent.trim()))
  .map(one => one.outerHTML.slice(0, 120))"""


def test_the_description_of_the_api_works_under_the_same_rules(visit: Visit, site: str) -> None:
    page = visit("docs")
    expect(page.locator(".info h1, .info h2").first).to_contain_text("microtome")
    operation = page.locator(".opblock", has_text="/api/v1/me").first
    operation.locator("button").first.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text('"name": "local"')
    paths = page.request.get(f"{site}/api/v1/openapi.json").json()["paths"]
    methods = sum(len(set(one) & {"get", "post", "patch", "delete"}) for one in paths.values())
    assert page.locator(".opblock").count() == methods
    page.get_by_role("link", name=re.compile("Viewer")).click()
    expect(page.locator(".card").first).to_be_visible()
