"""Tokens in the browser: the dialog, the session, what a token without a scope does not see."""

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.service.viewer.conftest import SLIDE, visiting
from tests.service.viewer.seeing import opened


@pytest.fixture
def closed(served: str) -> tuple[str, dict[str, str]]:
    """A server with tokens, and what their words are by name."""
    scopes = {"boss": ["admin", "phi", "read", "submit"], "guest": ["read"]}
    words: dict[str, str] = {}
    headers: dict[str, str] = {}
    for name, allowed in scopes.items():
        body = {"name": name, "scopes": allowed}
        answer = httpx.post(f"{served}/api/v1/tokens", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        words[name] = answer.json()["token"]
        headers = {"Authorization": f"Bearer {words['boss']}"}
    return served, words


def test_a_token_opens_the_viewer_and_signing_out_closes_it(
    browser: Browser, closed: tuple[str, dict[str, str]]
) -> None:
    site, words = closed
    with visiting(browser, site) as (visit, troubles):
        page = visit(f"#/slides/{SLIDE}")
        dialog = page.get_by_role("dialog", name="Sign in")
        expect(dialog.get_by_label("Token")).to_be_focused()
        page.keyboard.type("mt_wrong")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_contain_text("token")
        dialog.get_by_label("Token").fill(words["boss"])
        page.keyboard.press("Enter")
        opened(page)
        expect(page.get_by_role("button", name="Signed in as boss")).to_be_visible()
        assert all("401" in one for one in troubles), troubles
        seen = len(troubles)
        page.reload()
        opened(page)
        assert len(troubles) == seen, "the session was not kept"
        assert words["boss"] not in page.evaluate("JSON.stringify([localStorage, document.cookie])")
        page.get_by_role("button", name="Signed in as boss").click()
        expect(page.get_by_role("dialog")).to_contain_text("admin, phi, read, submit")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()


def test_a_reader_sees_neither_jobs_to_submit_nor_the_label(
    browser: Browser, closed: tuple[str, dict[str, str]]
) -> None:
    site, words = closed
    with visiting(browser, site) as (visit, troubles):
        page = visit("#/jobs")
        page.get_by_label("Token").fill(words["guest"])
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_contain_text("There are no jobs yet.")
        expect(page.get_by_role("link", name="New job")).to_have_count(0)
        page.goto(f"{site}/#/slides/{SLIDE}")
        opened(page)
        expect(page.locator("#section-associated")).to_have_count(0)
        assert all("401" in one for one in troubles), troubles


def test_closing_the_dialog_says_that_a_token_is_needed(
    browser: Browser, closed: tuple[str, dict[str, str]]
) -> None:
    site, _ = closed
    with visiting(browser, site) as (visit, _troubles):
        page = visit()
        page.get_by_role("dialog", name="Sign in").wait_for()
        page.keyboard.press("Escape")
        expect(page.get_by_role("alert")).to_contain_text("This needs a token")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
