"""Jobs in the browser: a form from a schema, a real job to its end, progress, log, cancel."""

import json
import re

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.service.viewer.conftest import SLIDE, Visit
from tests.service.viewer.seeing import until

ENDS_MS = 90_000


def job_of(page: Page, site: str) -> dict[str, object]:
    """The job that the page shows, as the API tells it."""
    found = re.search(r"#/jobs/([0-9a-f]+)$", page.url)
    assert found is not None
    job: dict[str, object] = httpx.get(f"{site}/api/v1/jobs/{found[1]}").json()
    return job


def submit(page: Page) -> None:
    """Send the form, and wait for the page of the job."""
    page.get_by_role("button", name="Submit the job").click()
    page.wait_for_url(re.compile(r"#/jobs/[0-9a-f]{8,}$"))


def test_a_job_runs_from_the_form_to_its_outcome(visit: Visit, site: str) -> None:
    page = visit("#/jobs")
    page.get_by_role("link", name="New job").click()
    page.get_by_role("link", name="verify Read every stored byte").click()
    page.get_by_label("Archive (needed)").fill("demo.zarr")
    submit(page)
    badge = page.locator("header .badge")
    expect(badge).to_have_text(re.compile("queued|running"))
    expect(badge).to_have_text("running", timeout=ENDS_MS)
    expect(page.locator(".job-progress progress")).to_be_visible()
    expect(badge).to_have_text("succeeded", timeout=ENDS_MS)
    job = job_of(page, site)
    assert (job["workflow"], job["config"]) == ("verify", {"archive": "demo.zarr"})
    expect(page.locator(".log-line").first).to_contain_text("begun")
    expect(page.locator(".log-line").last).to_contain_text("succeeded")
    expect(page.locator(".block", has_text="Outcome")).to_contain_text(SLIDE)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    page.reload()
    expect(badge).to_have_text("succeeded")
    expect(page.locator(".log-line")).to_have_count(_lines(site, job))


def _lines(site: str, job: dict[str, object]) -> int:
    lines = httpx.get(f"{site}/api/v1/jobs/{job['id']}/log").json()["items"]
    return len(lines)


def test_progress_and_log_come_without_reloading(visit: Visit, site: str) -> None:
    page = visit("#/jobs/new/tile")
    page.get_by_label("Slides", exact=True).fill(SLIDE)
    page.get_by_label("Out (needed)").fill("live.zarr")
    page.get_by_label("MPP", exact=True).fill("native")
    page.get_by_label("Patch size").fill("64")
    page.evaluate("window.same = true")
    submit(page)
    expect(page.locator("header .badge")).to_have_text("succeeded", timeout=ENDS_MS)
    assert page.evaluate("window.same"), "the page was loaded again"
    expect(page.locator(".files a").first).to_have_attribute("href", re.compile("/files/"))
    report = page.locator(".files a", has_text="report.html")
    assert httpx.get(f"{site}{report.get_attribute('href')}").status_code == 200
    config = job_of(page, site)["config"]
    assert config == {"slides": [SLIDE], "out": "live.zarr", "mpp": "native", "patch_size": 64}
    archives = httpx.get(f"{site}/api/v1/archives").json()
    assert "live.zarr" in [one["name"] for one in archives]
    page.goto(f"{site}/#/slides/{SLIDE}?archive=live.zarr&grid=1")
    expect(page.get_by_label("Archive", exact=True)).to_have_value("live.zarr")
    expect(page.locator("#section-patches")).to_contain_text("patches of 64 px at 0.499")


def test_a_running_job_and_a_waiting_one_are_cancelled(visit: Visit, site: str) -> None:
    config = {"archives": ["demo.zarr"], "method": "rotnet", "encoder": "test_resnet"}
    config |= {"epochs": 9000, "input_px": 32, "out": "runs/long"}
    body = {"workflow": "pretrain", "config": config}
    first = httpx.post(f"{site}/api/v1/jobs", json=body).raise_for_status().json()["id"]
    page = visit("#/jobs/new/verify")
    page.get_by_label("Archive (needed)").fill("demo.zarr")
    page.get_by_label("Priority").fill("-5")
    submit(page)
    assert job_of(page, site)["priority"] == -5
    for job in (job_of(page, site)["id"], first):
        page.goto(f"{site}/#/jobs/{job}")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("header .badge")).to_have_text("cancelled", timeout=ENDS_MS)
        assert job_of(page, site)["state"] == "cancelled"
    page.goto(f"{site}/#/jobs?state=cancelled")
    expect(page.locator(".jobs tbody .badge")).to_have_text(["cancelled"] * 2)


def test_the_list_shows_jobs_and_leads_to_them(visit: Visit, site: str) -> None:
    body = {"workflow": "plan", "config": {"slides": [SLIDE]}}
    job = httpx.post(f"{site}/api/v1/jobs", json=body).json()
    page = visit("#/jobs")
    link = page.locator(f'a[href="#/jobs/{job["id"]}"]')
    row = page.locator("tr", has=link)
    expect(row.locator(".badge")).to_have_text("succeeded", timeout=ENDS_MS)
    link.click()
    expect(page.locator("h1")).to_have_text("plan")
    page.get_by_role("link", name="All jobs").click()
    page.get_by_label("State").select_option("failed")
    expect(page.locator(".badge[data-state=succeeded]")).to_have_count(0)


def test_a_failed_job_tells_why(visit: Visit, site: str) -> None:
    body = {"workflow": "export", "config": {"archive": "demo.zarr", "encoder": "none-such"}}
    body["config"] |= {"format": "clam", "out": "exports/wrong"}  # type: ignore[operator]
    job = httpx.post(f"{site}/api/v1/jobs", json=body).json()
    page = visit(f"#/jobs/{job['id']}")
    expect(page.locator("header .badge")).to_have_text("failed", timeout=ENDS_MS)
    told = httpx.get(f"{site}/api/v1/jobs/{job['id']}").json()["error"]
    expect(page.get_by_role("alert")).to_contain_text(told)


@pytest.mark.parametrize("field", ["Out (needed)", "Patch size", "MPP"])
def test_wrong_values_are_said_beside_their_field_and_nothing_is_sent(
    visit: Visit, field: str
) -> None:
    page = visit("#/jobs/new/tile")
    sent: list[str] = []
    page.on("request", lambda one: one.method == "POST" and sent.append(one.url))
    page.get_by_label("Slides", exact=True).fill(SLIDE)
    page.get_by_label("Out (needed)").fill("never.zarr")
    box = page.get_by_label(field, exact=field == "MPP")
    box.fill({"Patch size": "7", "MPP": "-1"}.get(field, ""))
    page.get_by_role("button", name="Submit the job").click()
    said = {"Patch size": "It must be at least 8, at most 8192.", "MPP": "It must be above 0."}
    expect(box).to_be_focused()
    expect(box).to_have_attribute("aria-invalid", "true")
    wrong = page.locator(".field", has=box).locator(".wrong")
    expect(wrong).to_have_text(said.get(field, "This is needed."))
    assert sent == []


def test_needed_fields_come_first_and_the_others_are_folded(visit: Visit, site: str) -> None:
    page = visit("#/jobs/new/tile")
    told = httpx.get(f"{site}/api/v1/workflows").json()
    schema = next(one for one in told if one["name"] == "tile")["config_schema"]
    expect(page.get_by_label("Slides", exact=True)).to_be_visible()
    expect(page.get_by_label("Min tissue")).to_be_hidden()
    page.locator("summary", has_text="More settings").click()
    box = page.get_by_label("Min tissue")
    expect(box).to_have_value("0.1")
    expect(box).to_have_attribute("max", "1")
    options = page.get_by_label("Tissue", exact=True).locator("option").all_inner_texts()
    assert options == schema["properties"]["tissue"]["enum"]
    assert page.locator(".job-form .field").count() == len(schema["properties"]) + 1


def test_known_slides_and_archives_are_offered(visit: Visit) -> None:
    page = visit("#/jobs/new/tile")
    page.get_by_label("Slides", exact=True).wait_for()
    assert SLIDE in _options(page, "known-slides")
    page.get_by_label("Add to Slides").fill(SLIDE)
    page.keyboard.press("Tab")
    expect(page.get_by_label("Slides", exact=True)).to_have_value(SLIDE)
    assert "demo.zarr" in _options(page, "known-new-archive")


def _options(page: Page, name: str) -> list[str]:
    script = "name => [...document.getElementById(name).options].map(one => one.value)"
    found: list[str] = page.evaluate(script, name)
    return found


def test_every_workflow_has_a_form_whose_defaults_the_api_takes(visit: Visit, site: str) -> None:
    page = visit("#/jobs/new")
    workflows = httpx.get(f"{site}/api/v1/workflows").json()
    expect(page.locator(".workflow")).to_have_count(len(workflows))
    for workflow in workflows:
        page.goto(f"{site}/#/jobs/new/{workflow['name'].replace(' ', '%20')}")
        expect(page.locator("h1")).to_have_text(workflow["name"])
        given = page.evaluate(READ, workflow)
        assert given["wrong"] == sorted(workflow["config_schema"].get("required", []))
        assert given["config"] == {}, "a default is not read as one"
    until(page, "document.querySelector('.job-form') !== null")
    assert json.dumps(workflows)


READ = """async workflow => {
  const { readField } = await import('/viewer/js/jobs/schema.js');
  const { makeControl } = await import('/viewer/js/jobs/fields.js');
  const found = { wrong: [], config: {} };
  const schema = workflow.config_schema;
  for (const [name, one] of Object.entries(schema.properties)) {
    const field = readField(name, one, schema);
    if (schema.required?.includes(name)) field.fallback = undefined;
    const control = makeControl(field, {});
    try {
      const value = control.read();
      if (value !== undefined) found.config[name] = value;
    } catch (error) {
      found.wrong.push(name);
    }
  }
  found.wrong.sort();
  return found;
}"""
