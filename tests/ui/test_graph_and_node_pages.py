from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect

from tests._support.browser import Witness
from tests.ui.conftest import NS, Service


def test_graphs_are_listed_with_their_check_and_schedules(page: Page) -> None:
    page.get_by_role("link", name="Graphs").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="embed-archive")).to_contain_text("30 4 * * 1")
    expect(rows.filter(has_text="reminders")).to_contain_text("Invalid")
    page.get_by_role("searchbox").fill("INV")
    expect(rows).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="invoices")).to_be_visible()


def test_a_graph_shows_its_templates_and_placeholders_lead_to_their_nodes(page: Page, service: Service) -> None:
    page.goto(f"/ui/n/{NS}/graphs/invoices")
    template: Any = next(
        graph for graph in service.api.get("/graphs/").json()["templates"] if graph["name"] == "invoices"
    )
    expect(page.locator(".box")).to_have_count(len(template["nodes"]))
    expect(page.locator(".edge-next")).to_have_count(sum(len(node["next_nodes"]) for node in template["nodes"]))
    page.locator(".box[data-identifier='post']").click()
    panel = page.get_by_role("complementary", name="Node post")
    expect(panel).to_contain_text("${{store.ledger}}")
    panel.get_by_role("button", name="${{check-vat.outputs.invoice}}").click()
    expect(page.get_by_role("complementary", name="Node check-vat")).to_be_visible()
    expect(page.get_by_role("region", name="Store and secrets")).to_contain_text("tenant *")
    expect(page.get_by_role("region", name="Store and secrets")).to_contain_text("vat_service_token")
    expect(page.get_by_role("region", name="Retries")).to_contain_text("1 retry, FIXED")
    expect(page.get_by_role("region", name="Recent runs").get_by_role("link")).to_have_count(2)
    page.locator(".box[data-identifier='report']").click()
    expect(page.get_by_role("complementary", name="Node report")).to_contain_text("Joins everything below begin")


def test_validation_errors_stand_at_their_nodes(page: Page) -> None:
    page.goto(f"/ui/n/{NS}/graphs/reminders")
    expect(page.get_by_role("button", name="Trigger")).to_be_disabled()
    why = page.get_by_role("region", name="Why it is invalid")
    expect(why).to_contain_text("SendReminder")
    expect(page.locator(".box[data-identifier='remind'] [aria-label='Has a validation error']")).to_be_visible()
    why.get_by_role("button", name="remind").first.click()
    expect(page.get_by_role("complementary", name="Node remind")).to_contain_text("is not registered")


def test_a_graph_is_triggered_from_a_form_of_its_fields(page: Page, service: Service, witness: Witness) -> None:
    page.goto(f"/ui/n/{NS}/graphs/invoices")
    page.get_by_role("button", name="Trigger").click()
    form = page.get_by_role("dialog", name="Trigger invoices")
    expect(form.get_by_label("mailbox")).to_be_focused()
    expect(form.get_by_label("letters")).to_have_value("6")
    form.get_by_label("letters").fill("1")
    # What is required is required before anything is sent.
    form.get_by_role("button", name="Trigger").click()
    expect(form).to_be_visible()
    form.get_by_label("tenant").fill("acme")
    form.get_by_label("mailbox").fill("${{no.such.thing}}")
    witness.expects_failures = True
    form.get_by_role("button", name="Trigger").click()
    expect(form.get_by_role("alert")).to_contain_text("Invalid input")
    form.get_by_label("mailbox").fill("by hand")
    form.get_by_role("button", name="Trigger").click()
    expect(page).to_have_url(re.compile(r"/runs/[0-9a-f-]{36}$"))
    run = service.finish(page.url.rpartition("/")[2])
    nodes: Any = service.graph_of(run)["nodes"]
    state = service.api.get(f"/graph/invoices/run/{run}/node/{nodes[0]['id']}").json()
    assert state["inputs"] == {"mailbox": "by hand", "letters": "1"}


def test_nodes_show_their_schemas_and_users_and_what_is_missing(page: Page) -> None:
    page.get_by_role("link", name="Nodes").click()
    expect(page.locator(".node-list > li")).to_have_count(7)
    missing = page.get_by_role("region", name="Nodes that nobody has registered")
    expect(missing).to_contain_text("SendReminder")
    page.get_by_role("button", name=re.compile("CheckVat")).click()
    expect(page).to_have_url(re.compile("node=CheckVat"))
    expect(page.get_by_role("region", name="Inputs schema")).to_contain_text("amount")
    expect(page.locator(".node-body")).to_contain_text("vat_service_token")
    page.locator(".node-body").get_by_role("link", name="invoices").click()
    expect(page.get_by_role("heading", name="invoices")).to_be_visible()


def test_the_document_can_be_read_without_a_key(opened: tuple[Page, Witness]) -> None:
    page, _ = opened
    page.goto("/docs")
    expect(page.get_by_role("heading", name="API")).to_be_visible()
    page.get_by_role("searchbox").fill("trigger")
    page.get_by_role("button", name=re.compile("POST.*trigger")).click()
    expect(page.locator(".node-body")).to_contain_text("start_delay")
    expect(page.locator(".node-body")).to_contain_text("Idempotency-Key")
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_label("API key")).to_be_visible()
