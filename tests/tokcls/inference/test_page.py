"""The page in a real browser: asked, answered, filtered, by keyboard, and with a token."""

from __future__ import annotations

import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright
from playwright.sync_api import Request as Asked

from tests.tokcls.inference.made import free_port
from tokcls.inference.answer import answer
from tokcls.inference.gate import Gate
from tokcls.inference.predictor import Predictor
from tokcls.inference.request import Request
from tokcls.inference.web import build_app

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REFUSED = "Failed to load resource: the server responded"
COLOURS = "[...document.querySelectorAll('mark')].map(m => getComputedStyle(m).backgroundColor)"
TEXT = "\U0001f600 Anna flew from Lisbon to Oslo on Monday ."
HUES = "[...document.querySelectorAll('mark')].map(m => Number(m.style.getPropertyValue('--hue')))"
ABOUT = {
    "name": "models:/ner",
    "version": "7",
    "types": ["LOC", "ORG", "PER"],
    "metrics": {"test_f1": 0.8125, "val_f1": 0.5},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@contextmanager
def running(
    predictor: Predictor, token: str = "", about: Callable[[], dict[str, Any]] = lambda: ABOUT
) -> Iterator[str]:
    async def answer_one(request: Request) -> bytes:
        return answer(predictor, [request])[0]

    app = build_app(about, answer_one, Gate(token=token))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def url(predictor: Predictor) -> Iterator[str]:
    with running(predictor) as url:
        yield url


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened(browser, url) as page:
        yield page


@contextmanager
def opened(
    browser: Browser, url: str, path: str = "", *, clock: bool = False, **options: Any
) -> Iterator[Page]:
    """Open a page; whatever it complains about, or asks of another server, fails the test.

    With `clock` its time can be moved on.
    """
    context = browser.new_context(**options)
    page = context.new_page()
    if clock:
        page.clock.install()
    complaints: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(REFUSED):
            complaints.append(message.text)

    def asked(request: Asked) -> None:
        if not request.url.startswith((url, "data:")):
            complaints.append(request.url)

    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", heard)
    page.on("request", asked)
    page.goto(url + path)
    yield page
    context.close()
    assert complaints == []


def said(page: Page) -> Locator:
    return page.get_by_role("status")


def ask(page: Page, text: str = TEXT) -> None:
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Find entities").click()
    expect(said(page)).to_have_text(re.compile(r"^\d+ entit(y|ies) in \d+ ms$"))


def test_it_says_which_model_answers_and_what_it_scored(page: Page) -> None:
    expect(page.locator("#about")).to_have_text(
        "models:/ner, version 7; on its test split: f1 0.813"
    )


def test_entities_are_marked_in_the_very_text(page: Page, predictor: Predictor) -> None:
    ask(page)
    (found,) = predictor.predict_texts([TEXT])
    assert len(found) >= 3
    expect(page.locator("mark")).to_have_count(len(found))
    shown = page.evaluate("[...document.querySelectorAll('mark')].map(m => m.firstChild.data)")
    assert shown == [one.word for one in found]
    page.evaluate("document.querySelectorAll('mark small').forEach(each => each.remove())")
    assert page.locator("#found").inner_text() == TEXT
    legend = page.get_by_role("list", name="Types").get_by_role("listitem")
    counts = Counter(one.entity_group for one in found)
    assert legend.all_inner_texts() == [f"{name} {counts[name]}" for name in sorted(counts)]


def test_types_have_colours_of_their_own_in_light_and_dark(browser: Browser, url: str) -> None:
    found = {}
    for scheme in ("light", "dark"):
        with opened(browser, url, color_scheme=scheme) as page:
            ask(page)
            found[scheme] = page.evaluate(COLOURS)
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert paper not in found[scheme]
    for colours in found.values():
        *_, anna, lisbon, oslo = colours
        assert lisbon == oslo != anna
    assert found["light"] != found["dark"]


def test_types_are_as_far_from_each_other_in_hue_as_the_models_types_can_be(page: Page) -> None:
    ask(page)
    *_, anna, lisbon, oslo = page.evaluate(HUES)
    assert (anna, lisbon, oslo) == (240, 0, 0)


def test_the_model_line_is_taken_afresh_after_a_swap_but_not_with_every_answer(
    browser: Browser, predictor: Predictor
) -> None:
    asked: list[int] = []

    def about() -> dict[str, Any]:
        asked.append(1)
        return ABOUT | {"version": str(6 + len(asked))}

    with running(predictor, about=about) as url, opened(browser, url, clock=True) as page:
        line = page.locator("#about")
        expect(line).to_have_text(re.compile("version 7"))
        ask(page)
        ask(page)
        page.clock.fast_forward(11_000)
        assert len(asked) == 1
        ask(page)
        expect(line).to_have_text(re.compile("version 8"))


def test_scores_are_on_hover_and_the_threshold_hides_what_is_less_sure(page: Page) -> None:
    ask(page)
    titles = [mark.get_attribute("title") for mark in page.locator("mark").all()]
    assert all(re.fullmatch(r"(PER|LOC), score 0\.\d{3}|.*1\.000", title or "") for title in titles)
    slider = page.get_by_label("Show from a score of")
    shown = f"0.00: {len(titles)} entities shown"
    expect(slider).to_have_attribute("aria-valuetext", shown)
    slider.fill("1")
    expect(slider).to_have_attribute("aria-valuetext", "1.00: 0 entities shown")
    expect(page.locator("mark")).to_have_count(0)
    assert page.locator("#found").inner_text() == TEXT
    page.get_by_label("Show from a score of").fill("0")
    expect(page.locator("mark")).to_have_count(len(titles))


def test_it_is_used_by_keyboard_and_read_by_a_screen_reader(page: Page) -> None:
    page.keyboard.press("Tab")
    page.keyboard.type("Anna flew to Oslo .")
    page.keyboard.press("Control+Enter")
    expect(page.locator("mark")).to_have_count(2)
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert any(re.fullmatch(r"Anna: PER, score \d\.\d{3}", each or "") for each in reached)
    named = re.compile(r"^Anna: PER, score")
    expect(page.get_by_role("group", name=named)).to_have_count(1)
    assert said(page).get_attribute("aria-live") == "polite"
    for box in page.locator("input, textarea").all():
        assert box.evaluate("box => box.labels.length") == 1


def test_an_example_is_one_click(page: Page) -> None:
    page.get_by_role("button", name="News").click()
    expect(said(page)).to_have_text(re.compile("in [0-9]+ ms"))
    assert "Brussels" in page.locator("#found").inner_text()


def test_what_is_refused_is_said(page: Page) -> None:
    page.get_by_label("Text", exact=True).fill("x" * 1_000_001)
    page.get_by_role("button", name="Find entities").click()
    expect(said(page)).to_have_text(re.compile("a request may hold 1,000,000 characters"))
    expect(said(page)).to_have_class("bad")


def test_markup_in_a_text_stays_text(page: Page) -> None:
    text = "<img src=x onerror=alert(1)> Anna flew to Oslo ."
    ask(page, text)
    page.evaluate("document.querySelectorAll('mark small').forEach(each => each.remove())")
    assert page.locator("#found").inner_text() == text
    assert page.locator("#found img").count() == 0


def test_a_token_is_asked_for_where_one_is_wanted(browser: Browser, predictor: Predictor) -> None:
    with running(predictor, token="s3same") as url, opened(browser, url) as page:
        box = page.get_by_label("This server wants a token")
        expect(box).to_be_visible()
        page.get_by_label("Text", exact=True).fill("Anna flew to Oslo .")
        box.fill("s3same")
        box.press("Enter")
        expect(page.locator("mark")).to_have_count(2)
        expect(box).to_be_hidden()


def test_a_small_screen_needs_no_scrolling_to_the_side(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    with opened(browser, url, viewport={"width": 360, "height": 640}) as page:
        ask(page, TEXT + " x" * 200)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360


def test_the_interface_is_tried_in_a_browser_that_reaches_this_server_alone(
    browser: Browser, url: str
) -> None:
    with opened(browser, url, "/docs") as page:
        page.get_by_role("button", name=re.compile("^post .*predict")).first.click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("textbox").fill('{"inputs": "Anna flew to Oslo ."}')
        page.get_by_role("button", name="Execute").click()
        answered = page.locator(".live-responses-table .response .microlight").first
        expect(answered).to_contain_text('"word": "Oslo"')
