"""What lies over a slide: maps with their legend, the grid of patches, one patch and its like."""

import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from service.archives import Archives
from tests.service.planted import ATTENTION, CENTRES, ENCODERS, LEGEND, MAP, PATCH_PX
from tests.service.viewer.conftest import SLIDE, Visit
from tests.service.viewer.seeing import (
    Rgb,
    difference,
    middle,
    near,
    opened,
    place,
    settled,
    stage,
    until,
)

__all__ = ["CENTRES"]
OPAQUE = f"#/slides/{SLIDE}?map={MAP}&opacity=1"


def shown_map(page: Page) -> Rgb:
    """Wait until the map's colours are there."""
    page.locator(".legend, .ramp").wait_for()
    return settled(page)


def share(seen: Rgb, number: int) -> float:
    """Share of the pixels in the colour of a class."""
    return float(near(seen, LEGEND.colours[number], 12).mean())


def test_a_map_is_laid_over_the_slide_and_taken_away(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}")
    plain = opened(page)
    page.get_by_label("Map over the slide").select_option(MAP)
    over = shown_map(page)
    assert difference(middle(plain), middle(over)) > 10
    assert place(page)["map"] == MAP
    page.get_by_label("Map over the slide").select_option("")
    without = settled(page, lambda seen: difference(middle(plain), middle(seen)) < 1)
    assert difference(middle(plain), middle(without)) < 1
    assert "map" not in place(page)


def test_an_opaque_map_shows_the_stored_classes_at_their_place(visit: Visit, site: str) -> None:
    page = visit(OPAQUE)
    opened_map = shown_map(page)
    words = place(page)
    x, y, zoom = (float(words[name]) for name in ("x", "y", "zoom"))
    height, width = opened_map.shape[:2]
    classes = _stored(page)
    found = dict.fromkeys(range(len(LEGEND.names)), 0)
    for row in range(200, height - 150, 9):
        for column in range(250, width - 250, 9):
            level0 = x + (column - width / 2) / zoom, y + (row - height / 2) / zoom
            number = _around(classes, level0)
            if number is not None:
                right = near(opened_map[row, column], LEGEND.colours[number], 12)
                assert right, f"pixel {column}, {row} is not {LEGEND.names[number]}"
                found[number] += 1
    assert min(found.values()) > 5, found


def _stored(page: Page) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Numbers of the classes by the picture of the map, which has one pixel for each."""
    import io

    from PIL import Image

    url = page.url.partition("#")[0] + f"api/v1/slides/{SLIDE}/maps/{MAP}.png"
    picture = np.asarray(Image.open(io.BytesIO(page.request.get(url).body())).convert("RGBA"))
    numbers = np.full(picture.shape[:2], -1)
    for number, colour in enumerate(LEGEND.colours):
        numbers[(picture[..., :3] == colour).all(-1) & (picture[..., 3] > 0)] = number
    return numbers


def _around(classes: np.ndarray, level0: tuple[float, float]) -> int | None:  # type: ignore[type-arg]
    """The class of a level-0 pixel, if all about it is of the same class."""
    column, row = (int(one // 4) for one in level0)
    part = classes[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4]
    return int(part[0, 0]) if part.size and part[0, 0] >= 0 and (part == part[0, 0]).all() else None


def test_the_legend_names_classes_and_their_areas(visit: Visit) -> None:
    page = visit(OPAQUE)
    shown_map(page)
    rows = page.locator(".legend-row")
    expect(rows).to_have_count(len(LEGEND.names))
    classes = _stored(page)
    pixel_mm2 = (4 * 0.499 / 1000) ** 2
    for number, name in enumerate(LEGEND.names):
        area = (classes == number).sum() * pixel_mm2
        part = (classes == number).sum() / (classes >= 0).sum()
        text = rows.nth(number).inner_text().split("\n")
        assert text[0] == name
        assert text[1] == f"{area:.3f} mm²"
        assert float(text[2].removesuffix(" %")) == pytest.approx(100 * part, abs=0.6)


def test_a_class_can_be_hidden_and_shown(visit: Visit) -> None:
    page = visit(OPAQUE)
    before = shown_map(page)
    assert share(before, 1) > 0.05
    box = page.get_by_role("checkbox", name=re.compile(f"^{LEGEND.names[1]}"))
    box.uncheck()
    hidden = settled(page, lambda seen: share(seen, 1) < 0.001)
    assert share(hidden, 1) < 0.001
    assert share(hidden, 0) == pytest.approx(share(before, 0), rel=0.02)
    assert place(page)["hide"] == "1"
    box.check()
    again = settled(page, lambda seen: share(seen, 1) > 0.05)
    assert difference(before, again) < 0.5


def test_all_classes_can_be_hidden_at_once(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}")
    plain = opened(page)
    page = visit(OPAQUE)
    page.reload()
    shown_map(page)
    page.get_by_role("button", name="None", exact=True).click()
    seen = settled(page, lambda now: difference(middle(plain), middle(now)) < 1)
    assert difference(middle(plain), middle(seen)) < 1
    page.get_by_role("button", name="All", exact=True).click()
    assert share(settled(page, lambda now: share(now, 1) > 0.05), 1) > 0.05


def test_the_slider_lets_the_slide_shine_through(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}")
    plain = middle(opened(page))
    page = visit(OPAQUE)
    page.reload()
    full = middle(shown_map(page))
    page.get_by_label("Opacity").fill("50")
    half = middle(settled(page, lambda seen: difference(middle(seen), full) > 5))
    assert difference(half, (plain + full) // 2) < 3
    page.keyboard.press("Tab")
    page.locator(".screen .openseadragon-canvas").first.focus()
    page.keyboard.press("[")
    expect(page.locator("output")).to_have_text("40 %")


def test_the_uncertainty_is_a_heatmap(visit: Visit) -> None:
    page = visit(OPAQUE)
    before = shown_map(page)
    page.get_by_label("Uncertainty").check()
    page.locator(".ramp").wait_for()
    after = settled(page, lambda seen: difference(before, seen) > 5)
    assert share(after, 1) < 0.01
    assert place(page)["layer"] == "entropy"


def test_attention_is_brightest_where_the_patches_are_darkest(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}?map={ATTENTION}&opacity=1")
    page.locator(".ramp").wait_for()
    seen = settled(page)
    assert near(seen, (253, 231, 37), 8).sum() > 1000
    assert near(seen, (68, 1, 84), 8).sum() > 1000
    expect(page.locator(".legend")).to_have_count(0)


def test_the_grid_is_drawn_around_every_patch(visit: Visit, planted: object) -> None:
    page = visit(f"#/slides/{SLIDE}?x=1110&y=1484&zoom=0.25")
    plain = opened(page)
    page.get_by_role("button", name="Patch grid").click()
    seen = settled(page, lambda now: difference(now, plain) > 0.2)
    expect(page.get_by_label("Grid over the slide")).to_be_checked()
    assert place(page)["grid"] == "1"
    found = next(Archives(planted, ()).holding(SLIDE))  # type: ignore[arg-type]
    changed = np.abs(seen - plain).sum(axis=-1) > 30
    height, width = seen.shape[:2]
    outside = np.ones_like(changed)
    for x, y in np.asarray(found.store.coords):
        left, top = (x - 1110) * 0.25 + width / 2, (y - 1484) * 0.25 + height / 2
        side = PATCH_PX * 0.25
        rows = slice(max(0, round(top) - 2), round(top + side) + 3)
        columns = slice(max(0, round(left) - 2), round(left + side) + 3)
        outside[rows, columns] = False
        if top > 60 and left > 80 and top + side < height - 60:
            edge = changed[round(top) - 1 : round(top) + 2, round(left) : round(left + side)]
            assert edge.any(axis=0).mean() > 0.8, f"the upper edge of {x}, {y} is missing"
    wrong = (changed & outside)[60 : height - 60, 80 : width - 150]
    assert not wrong.any(), "something is drawn where no patch is"
    page.get_by_role("button", name="Patch grid").click()
    again = settled(page, lambda now: difference(middle(now), middle(plain)) < 0.05)
    assert difference(middle(again), middle(plain)) < 0.05


def test_a_click_tells_of_the_patch_there_and_of_its_like(visit: Visit, site: str) -> None:
    page = visit(f"#/slides/{SLIDE}?x=1110&y=1484&zoom=0.25&grid=1")
    seen = opened(page)
    height, width = seen.shape[:2]
    x, y = (1320 - 1110) * 0.25 + width / 2, (1560 - 1484) * 0.25 + height / 2
    page.locator(".screen").click(position={"x": x, "y": y})
    section = page.locator("#section-patches")
    expect(section.locator("dd").first).to_have_text("1,200, 1,440")
    expect(section).to_contain_text("240 px of level 0, 120 µm")
    index = int(place(page)["patch"])
    page.get_by_label("Nearest patches across the archive, by").select_option("colour-layout")
    right = page.request.get(
        f"{site}/api/v1/slides/{SLIDE}/similar",
        params={"encoder": "colour-layout", "patch": index, "archive": "demo.zarr", "limit": 12},
    ).json()["items"]
    told = [f"{one['similarity']:.3f}" for one in right]
    expect(page.locator(".nearest .number")).to_have_text(told)
    page.locator(".nearest a").first.click()
    expect(section.locator("h3")).to_have_text(f"Patch {right[0]['patch']}")
    expect(section.locator("dd").first).to_have_text(f"{right[0]['x']:,}, {right[0]['y']:,}")
    until(page, f"location.hash.includes('patch={right[0]['patch']}')")
    until(page, "[...document.querySelectorAll('.nearest img')].some(i => i.complete)")
    assert set(ENCODERS) >= {"colour-layout"}


def test_a_click_beside_all_patches_selects_none(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}?x=1110&y=1484&zoom=0.25&patch=3")
    opened(page)
    expect(page.locator("#section-patches h3")).to_have_text("Patch 3")
    page.locator(".screen").click(position={"x": 200, "y": 600})
    expect(page.locator("#section-patches h3")).to_have_count(0)
    assert "patch" not in place(page)


def test_patches_are_found_by_number(visit: Visit) -> None:
    page = visit(f"#/slides/{SLIDE}")
    opened(page)
    page.get_by_label("Go to patch").fill("54")
    page.keyboard.press("Enter")
    expect(page.locator("#section-patches h3")).to_have_text("Patch 54")
    page.get_by_label("Go to patch").fill("55")
    page.keyboard.press("Enter")
    expect(page.locator("#section-patches")).to_contain_text("There is no patch 55.")
    assert stage(page).any()
