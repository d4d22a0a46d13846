"""The example project, driven in a real browser as people use it.

``SESSIONKIT_TEST_CHROMIUM`` names the browser's program (else it is looked for on the path), and
``SESSIONKIT_TEST_SCREENSHOTS`` a folder for pictures of the pages.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.example_site import PASSWORD, serve

pytestmark = pytest.mark.slow

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--disable-gpu", "--disable-quic", "--disable-sync"]
FIREFOX = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:139.0) Gecko/20100101 Firefox/139.0"
OPERA = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/139.0.0.0 Safari/537.36 OPR/123.0.0.0"
)
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
NewPage = Callable[..., Page]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    database = tmp_path_factory.mktemp("example") / "db.sqlite3"
    with serve(database, DJANGO_SETTINGS_MODULE="tests.harbour_settings") as (url, _):
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = os.environ.get("SESSIONKIT_TEST_CHROMIUM") or next(
        filter(None, map(shutil.which, PROGRAMS)), None
    )
    if program is None:
        message = "No Chromium found: install it, or name it in SESSIONKIT_TEST_CHROMIUM."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser: Browser, site: str) -> Iterator[NewPage]:
    """Open a page in a browser of its own: with cookies, and perhaps a user agent, of its own."""
    contexts = []

    def open_page(**options: Any) -> Page:
        context = browser.new_context(base_url=site, locale="en-GB", **options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()


def sign_in(page: Page, username: str) -> None:
    page.goto("/sign-in/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Your session", exact=True)).to_be_visible()


def fact(page: Page, term: str) -> str:
    """Return what the page of one's own session says under the term."""
    definition = page.locator(".facts div").filter(has=page.get_by_text(term, exact=True))
    return definition.locator("dd").inner_text().splitlines()[0].strip()


def sessions_of(admin: Page, username: str) -> None:
    """Go to the list of the user's sessions in the admin."""
    admin.goto("/")
    admin.get_by_role("link", name="Admin", exact=True).click()
    admin.get_by_role("main").get_by_role("link", name="Sessions", exact=True).last.click()
    admin.get_by_role("textbox", name=re.compile("search", re.IGNORECASE)).fill(username)
    admin.get_by_role("button", name="Search").click()


def row_of(admin: Page, visitor: Page) -> Locator:
    """Return the row of the admin's list that is about the visitor's session."""
    link = admin.locator(f"a[href*='{fact(visitor, 'Public id')}']")
    return admin.get_by_role("row").filter(has=link)


def expect_signed_in(page: Page) -> None:
    page.get_by_role("link", name="Your session").click()
    expect(page.get_by_role("heading", name="Your session", exact=True)).to_be_visible()


def expect_signed_out(page: Page) -> None:
    page.get_by_role("link", name="Your session").click()
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()
    expect(page.get_by_text("your session has ended or was revoked")).to_be_visible()


def test_a_session_revoked_in_the_admins_list_ends_and_the_other_goes_on(
    new_page: NewPage,
) -> None:
    revoked, kept, admin = new_page(user_agent=FIREFOX), new_page(user_agent=OPERA), new_page()
    sign_in(revoked, "emil")
    sign_in(kept, "emil")
    sign_in(admin, "admin")

    sessions_of(admin, "emil")
    row_of(admin, revoked).get_by_role("checkbox").check()
    admin.get_by_label("Action").first.select_option(label="Revoke selected sessions")
    admin.get_by_role("button", name=re.compile("^(Go|Run)")).first.click()
    expect(admin.get_by_text(fact(revoked, "Device")).first).to_be_visible()
    admin.get_by_role("button", name="Yes, revoke").click()
    expect(admin.locator(".messagelist .success")).to_be_visible()

    expect_signed_out(revoked)
    expect_signed_in(kept)


def test_a_session_revoked_on_its_page_in_the_admin_ends_and_the_other_goes_on(
    new_page: NewPage,
) -> None:
    revoked, kept, admin = new_page(user_agent=OPERA), new_page(user_agent=FIREFOX), new_page()
    sign_in(revoked, "chloe")
    sign_in(kept, "chloe")
    sign_in(admin, "stella")

    sessions_of(admin, "chloe")
    row_of(admin, revoked).get_by_role("link").first.click()
    expect(admin.get_by_text(fact(revoked, "Public id")).first).to_be_visible()
    admin.get_by_role("button", name="Revoke", exact=True).click()
    admin.get_by_role("button", name="Yes, revoke").click()
    expect(admin.locator(".messagelist .success")).to_be_visible()

    expect_signed_out(revoked)
    expect_signed_in(kept)


def test_a_note_is_stored_shown_and_deleted(new_page: NewPage) -> None:
    page, other_tab = new_page(), None
    sign_in(page, "bruno")
    other_tab = page.context.new_page()
    other_tab.goto("/session/")
    for tab, note in ((page, "Buy <rope> & tar"), (other_tab, "Paint the buoy")):
        tab.get_by_label("Note", exact=True).fill(note)
        tab.get_by_role("button", name="Store the note").click()
        expect(tab.get_by_role("status")).to_contain_text("stored")
    page.reload()
    stored = page.get_by_role("region", name="Stored in it")
    expect(stored.get_by_role("listitem")).to_have_count(2)
    stored.get_by_role("button", name="Delete note: Buy <rope> & tar").click()
    expect(page.get_by_role("status")).to_contain_text("deleted")
    expect(stored.get_by_text("Paint the buoy")).to_be_visible()
    expect(stored.get_by_text("Buy <rope> & tar")).to_have_count(0)


def test_the_page_shows_the_session_and_never_its_key(new_page: NewPage) -> None:
    page = new_page(user_agent=FIREFOX)
    sign_in(page, "amara")
    cookies = {cookie.get("name"): cookie for cookie in page.context.cookies()}
    cookie = cookies["harbour_session"]
    assert cookie.get("httpOnly")
    assert cookie.get("sameSite") == "Lax"
    assert cookie.get("value", "") not in page.content()
    assert fact(page, "Address") == "127.0.0.1"
    assert "Firefox" in fact(page, "Device")
    assert fact(page, "Public id").replace("-", "") == cookie.get("value", "")[:32]
    others = page.get_by_role("region", name="Your other sessions")
    expect(others.get_by_role("listitem").first).to_be_visible()


def test_signing_out_ends_the_session(new_page: NewPage) -> None:
    page = new_page()
    sign_in(page, "yuki")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in").first).to_be_visible()
    page.goto("/session/")
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()


def test_one_can_sign_in_with_the_keyboard_alone(new_page: NewPage) -> None:
    page = new_page()
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
    tab_to(page, "link", "Sign in")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Username")).to_be_focused()
    page.keyboard.type("yuki")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    tab_to(page, "button", "Sign in")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your session", exact=True)).to_be_visible()


def tab_to(page: Page, role: Literal["button", "link"], name: str) -> None:
    target = page.get_by_role(role, name=name).first
    for _ in range(10):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"The {role} {name!r} cannot be reached with Tab.")


def test_pages_fit_every_screen_and_load_nothing_from_elsewhere(
    new_page: NewPage, site: str
) -> None:
    page = new_page()
    requests: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))

    page.goto("/")
    look_at(page, "home")
    page.goto("/session/")
    look_at(page, "sign-in")
    page.get_by_label("Username").fill("stella")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look_at(page, "sign-in-error")
    sign_in(page, "stella")
    page.get_by_label("Note", exact=True).fill("Ask the pilot about Thursday's tide")
    page.get_by_role("button", name="Store the note").click()
    expect(page.get_by_role("status")).to_be_visible()
    look_at(page, "session")
    page.get_by_role("link", name="See everybody's sessions").click()
    expect(page.get_by_role("heading", level=1).last).to_contain_text("session")
    look_at(page, "admin")
    page.set_viewport_size({"width": 1280, "height": 900})
    # The table scrolls within itself where its columns do not fit.
    table = page.locator(".results")
    assert table.evaluate("element => element.scrollWidth - element.clientWidth") <= 0
    page.get_by_role("link", name="curl").first.click()
    page.get_by_role("button", name="Revoke").click()
    way = page.locator(".breadcrumbs")
    assert (
        way.evaluate("element => getComputedStyle(element).backgroundColor") != "rgba(0, 0, 0, 0)"
    )
    look_at(page, "revoke")
    assert {url for url in requests if not url.startswith(site + "/")} == set()
    assert problems == []


def look_at(page: Page, name: str) -> None:
    """Check that the page does not scroll sideways, wide or narrow, light or dark."""
    for width, height in ((1280, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        for scheme in SCHEMES:
            # Without motion, a change of colours is done at once.
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            if folder := os.environ.get("SESSIONKIT_TEST_SCREENSHOTS"):
                page.screenshot(path=Path(folder) / f"{name}-{width}-{scheme}.png", full_page=True)
