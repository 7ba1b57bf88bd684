"""The pages as people see them: in Airflow's own UI, in a real browser."""

from __future__ import annotations

import asyncio
import re
import threading

import pytest
from playwright.sync_api import expect

from fleetpgo.run.artifacts import ProposedProfile
from fleetpgo.run.proposed import Failed
from fleetpgo.run.store import RunStore
from tests.pages import browser as chromium
from tests.pages import fleet

pytestmark = pytest.mark.usefixtures("served")
expect.set_options(timeout=chromium.PATIENCE_MS)


@pytest.fixture(scope="module")
def browser():
    with chromium.launched() as running:
        yield running


@pytest.fixture
def page(browser, served):
    with chromium.signed_in(browser, served) as context:
        yield context.new_page()


def test_the_navigation_leads_to_the_fleet(page, served):
    heard = chromium.complaints(page)
    page.goto(served.url)
    page.get_by_role("link", name="Fleet PGO").click()
    rows = chromium.frame(page).get_by_role("region", name="Services").locator("tbody tr")
    expect(rows).to_have_count(3)
    edge = rows.filter(has_text="edge-team")
    expect(edge).to_contain_text("saved")
    dag = edge.get_by_role("link", name="edge", exact=True)
    expect(dag).to_have_attribute("href", f"{served.url}/dags/pgo_refresh__edge")
    expect(edge).to_contain_text(re.compile(r"\d\.\d % \[\d\.\d, \d\.\d\]"))
    expect(chromium.frame(page).locator("#plot canvas")).to_be_visible()
    headline = "PGO saves 3.1 % [2.7, 3.5], 93 cores [81, 105], now in the 1 of 3 services with a baseline"
    expect(chromium.frame(page).locator(".headline")).to_have_text(headline)
    assert heard == []


def test_the_runs_tab_shows_stages_instances_and_a_flame_graph(page, served):
    heard = chromium.complaints(page)
    page.goto(chromium.run_url(served, "edge", fleet.SECOND))
    inside = chromium.frame(page)
    expect(inside.locator(".stages li.done")).to_have_count(4)
    expect(inside.get_by_role("region", name="Each instance")).to_contain_text("busy: HTTP 500")
    expect(inside.get_by_role("region", name="Functions")).to_contain_text("main.square.area")
    inside.get_by_role("region", name="Pull request").get_by_text("Its text").click()
    expect(inside.get_by_text("# Refresh the PGO profile of edge")).to_be_visible()
    viewer = inside.frame_locator("iframe[title='Flame graph']")
    expect(viewer.get_by_text("pgo_refresh__edge: This profile")).to_be_visible()
    inside.get_by_role("button", name="What grew").click()
    expect(viewer.get_by_text("pgo_refresh__edge: What grew")).to_be_visible()
    assert heard == []


def test_a_measured_run_shows_its_picture(page, served):
    page.goto(chromium.run_url(served, "edge", fleet.FIRST))
    picture = chromium.frame(page).get_by_role("img", name="over the week")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


def test_without_the_plots_library_the_page_says_so_and_shows_the_rest(page, served):
    page.route("**/static/uplot/**", refuse("uplot is not installed"))
    page.goto(f"{served.url}/fleetpgo/")
    expect(page.locator("#plot .warning")).to_have_text("uplot is not installed")
    expect(page.get_by_role("region", name="Services").locator("tbody tr")).to_have_count(3)
    page.get_by_text("The figures of this picture").click()
    expect(
        page.get_by_role("region", name="Sum of measured changes, by day").locator("tbody tr")
    ).to_have_count(1)


def test_without_the_flame_graphs_library_the_page_says_so_and_shows_the_rest(page, served):
    page.route("**/static/speedscope/**", refuse("speedscope is not installed"))
    page.goto(f"{served.url}/fleetpgo/run?dag_id=pgo_refresh__edge&run_id={fleet.SECOND.replace('+', '%2B')}")
    expect(page.locator("#flame .warning")).to_have_text("speedscope is not installed")
    expect(page.get_by_role("link", name="merged.pb.gz")).to_be_visible()


def refuse(sentence):
    """Answer as the server does where a library is missing; this server has both."""
    return lambda route: route.fulfill(status=404, json={"detail": sentence})


def test_the_keyboard_sorts_the_table(page, served):
    page.goto(f"{served.url}/fleetpgo/")
    services = page.get_by_role("region", name="Services")
    samples = services.get_by_role("columnheader", name="Samples")
    expect(samples).to_be_visible()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Samples":
            break
    page.keyboard.press("Enter")
    assert samples.get_attribute("aria-sort") == "descending"
    expect(services.locator("tbody tr").first).to_contain_text("edge")


def test_the_keyboard_reaches_everything_that_can_be_clicked(page, served):
    page.goto(f"{served.url}/fleetpgo/run?dag_id=pgo_refresh__edge&run_id={fleet.SECOND.replace('+', '%2B')}")
    expect(page.get_by_role("link", name="merged.pb.gz")).to_be_visible()
    expect(page.locator("#difference summary")).to_have_count(2)
    # Where the focus goes is decided by the browser; a mark on each element that had it is left to count.
    page.evaluate("addEventListener('focusin', ({ target }) => (target.dataset.seen = ''))")
    page.locator("iframe").evaluate("frame => frame.remove()")
    clickable = page.locator("a:visible, button:visible, summary:visible")
    for _ in range(clickable.count() + 20):
        page.keyboard.press("Tab")
    missed = clickable.evaluate_all(
        "all => all.filter((each) => !('seen' in each.dataset)).map((each) => each.outerHTML)"
    )
    assert missed == []


def test_the_theme_is_airflows_and_changes_with_it(page, served):
    page.goto(f"{served.url}/plugin/fleetpgo")
    body = chromium.frame(page).locator("body")
    expect(body).to_have_css("background-color", "rgb(255, 255, 255)")
    page.evaluate("localStorage.theme = 'dark'")
    expect(body).to_have_css("background-color", "rgb(22, 29, 45)")


def test_the_fetch_table_fills_while_instances_answer(page, served):
    store = RunStore(served.store, "gateway", fleet.LIVE)
    page.goto(chromium.run_url(served, "gateway", fleet.LIVE))
    waiting = chromium.frame(page).locator("#instances .state.waiting")
    expect(waiting).to_have_count(2)
    # Playwright's own loop runs in this thread.
    late = threading.Thread(target=lambda: asyncio.run(fleet.answer_late(served.services, store)))
    late.start()
    late.join()
    expect(waiting).to_have_count(0)
    expect(chromium.frame(page).locator("#instances .state.missing")).to_have_count(2)


def runs_of(served, service):
    """The runs of a service's DAG that Airflow knows."""
    answer = served.api("GET", f"/dags/pgo_refresh__{service}/dagRuns")
    assert answer.ok, answer.text
    return answer.json()["dag_runs"]


def open_trigger_form(page, served, service):
    """Airflow's own form that triggers a run of that service's DAG."""
    page.goto(f"{served.url}/dags/pgo_refresh__{service}")
    page.get_by_role("button", name="Trigger Dag").click()
    form = page.get_by_role("dialog")
    expect(form).to_be_visible()
    return form


def test_the_trigger_form_makes_a_run_with_every_default_untouched(page, served):
    form = open_trigger_form(page, served, "quiet")
    form.get_by_role("button", name="Trigger", exact=True).click()
    # For a moment Airflow shows the same toast twice.
    expect(page.get_by_text("Dag Run Triggered").first).to_be_visible()
    (run,) = runs_of(served, "quiet")
    assert (run["run_type"], run["conf"]) == (
        "manual",
        {"instances": 6, "seconds": 10, "matchers": None, "dry_run": False},
    )


def test_the_trigger_form_keeps_numbers_within_their_range(page, served):
    form = open_trigger_form(page, served, "quiet")
    for name, given, kept in (("instances", "0", "1"), ("seconds", "601", "600")):
        field = form.locator(f"[name=element_{name}]")
        field.fill(given)
        field.blur()
        expect(field).to_have_value(kept)


def test_the_trigger_form_offers_no_backfill(page, served):
    form = open_trigger_form(page, served, "quiet")
    expect(form.get_by_role("radio", name="Backfill")).to_be_disabled()


def test_a_backfill_is_refused_by_airflow_itself(served):
    answer = served.api(
        "POST",
        "/backfills",
        dag_id="pgo_refresh__quiet",
        from_date="2026-01-01T00:00:00Z",
        to_date="2026-02-01T00:00:00Z",
    )
    assert not answer.ok
    assert "does not allow backfill runs" in answer.text


def test_a_link_to_the_forge_leaves_airflows_frame(page, served):
    page.context.route("https://forge.example/**", lambda route: route.fulfill(body="the pull request"))
    page.goto(f"{served.url}/plugin/fleetpgo")
    with page.context.expect_page() as opened:
        chromium.frame(page).get_by_role("link", name="#2").click()
    opened.value.wait_for_url(fleet.url(2))


def test_a_failed_runs_page_shows_the_failed_stage_and_why(page, served):
    store = RunStore(served.store, "gateway", fleet.LIVE)
    store.write(Failed("Prometheus refuses the query: parse error"), "preflight")
    page.goto(chromium.run_url(served, "gateway", fleet.LIVE))
    failed = chromium.frame(page).locator(".stages li.failed")
    expect(failed).to_have_count(1)
    expect(failed).to_contain_text("Prometheus refuses the query: parse error")
    store.remove(Failed, "preflight")


def test_a_download_is_the_artifact(page, served):
    page.goto(chromium.run_url(served, "edge", fleet.SECOND))
    with page.expect_download() as download:
        chromium.frame(page).get_by_role("link", name="profile.pprof").click()
    assert download.value.suggested_filename == "profile.pprof"
    stored = RunStore(served.store, "edge", fleet.SECOND).read(ProposedProfile)
    assert download.value.path().read_bytes() == stored


def test_a_user_who_may_not_read_the_dag_is_told_so(browser, served):
    with chromium.signed_in(browser, served, "gateway") as context:
        page = context.new_page()
        page.goto(f"{served.url}/fleetpgo/run?dag_id=pgo_refresh__edge&run_id=x")
        expect(page.get_by_role("alert")).to_have_text("You may not read this DAG.")
        expect(page.locator("#stages")).to_be_empty()
