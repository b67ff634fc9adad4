"""The pages that `inspect --html` and `train` write, in a browser: they load nothing, say nothing on the console, and do
what a click, a filter and a hover ask for. Chromium is asked for on the PATH; where there is none, they are passed over.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

BIN = Path(os.environ["CELLSHARD_BIN"])
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SHAPE = ["--experiments", "HUVEC:3,RPE:2", "--plates", "4", "--wells", "40", "--sirnas", "8", "--size", "32"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")


def run(program: str, *args: object) -> None:
    done = subprocess.run([BIN / program, *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, and the page of it."""
    root = tmp_path_factory.mktemp("pages")
    run("simulate", root / "data", *SHAPE)
    run("pack", root / "data", root / "shards")
    run("inspect", root / "shards", "--html", root / "page")
    return root


@pytest.fixture(scope="module")
def browser() -> Browser:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Browser, path: Path, width: int = 1300, scheme: str = "light") -> tuple[Page, list[str]]:
    """A page, and what it complains of or asks for elsewhere."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: complaints.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
    page.goto(path.as_uri())
    return page, complaints


def data_of(page: Page) -> dict:
    return json.loads(page.locator("#data").text_content())


def test_a_filter_leaves_what_it_names(folder: Path, browser: Browser) -> None:
    page, complaints = opened(browser, folder / "page/index.html")
    rows = page.locator("#experiments-table tbody tr")
    assert rows.count() == 5
    page.fill("#filter", "huvec")
    assert page.locator("#experiments-table tbody tr:visible").count() == 3
    assert page.text_content("#shown") == "3 of 5"
    page.fill("#filter", "huvec test")
    assert page.locator("#experiments-table tbody tr:visible").count() == 1
    page.fill("#filter", "nothing")
    assert page.locator("#experiments-table tbody tr:visible").count() == 0
    assert complaints == []
    page.close()


def test_a_click_goes_to_the_plates_of_an_experiment(folder: Path, browser: Browser) -> None:
    page, complaints = opened(browser, folder / "page/index.html")
    names = lambda: page.locator("#maps svg .name").all_text_contents()
    assert names() == [f"HUVEC-01/{plate}" for plate in (1, 2, 3, 4)]
    page.click("#experiments-table a:text-is('RPE-02')")
    assert names() == [f"RPE-02/{plate}" for plate in (1, 2, 3, 4)]
    page.click("#next")
    assert names()[0] == "HUVEC-01/1", "round about"
    page.click("#previous")
    assert names()[0] == "RPE-02/1"
    # Every well of the four plates is there, and the colours say what was asked for.
    wells = page.locator("#maps rect[data-well]")
    assert wells.count() == 160
    populations = {wells.nth(i).get_attribute("fill") for i in range(40)}
    page.select_option("#kind", "mean")
    means = {wells.nth(i).get_attribute("fill") for i in range(40)}
    assert len(populations) <= 3 < len(means)
    before = wells.nth(5).get_attribute("fill"), wells.nth(5).get_attribute("data-tip")
    page.select_option("#channel", "3")
    assert (wells.nth(5).get_attribute("fill"), wells.nth(5).get_attribute("data-tip")) != before
    assert complaints == []
    page.close()


def test_values_are_those_of_the_store(folder: Path, browser: Browser) -> None:
    page, _ = opened(browser, folder / "page/index.html")
    page.select_option("#kind", "mean")
    tips = page.eval_on_selector_all("#maps rect[data-well]", "all => all.map(one => one.dataset.tip)")
    shown = {tip.split(":")[0]: float(tip.rsplit(" ", 1)[1]) for tip in tips[:40]}
    lines = subprocess.run(
        [BIN / "stats", folder / "shards", "--pixel-stats"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    header = lines[0].split(",")
    sites: dict[str, list[float]] = {}
    for line in lines[1:]:
        row = dict(zip(header, line.split(",")))
        if (row["experiment"], row["plate"], row["channel"]) == ("HUVEC-01", "1", "1"):
            sites.setdefault(row["well"], []).append(float(row["mean"]))
    assert set(shown) == set(sites)
    for well, means in sites.items():
        assert shown[well] == pytest.approx(sum(means) / len(means), rel=2e-3), well
    page.close()


def test_a_hover_tells_the_well(folder: Path, browser: Browser) -> None:
    page, _ = opened(browser, folder / "page/index.html")
    well = page.locator("#maps rect[data-well]").first
    well.scroll_into_view_if_needed()
    well.hover()
    assert page.locator("#tip").is_visible()
    assert page.text_content("#tip").startswith(f"{well.get_attribute('data-well')}: ")
    page.mouse.move(2, 2)
    assert not page.locator("#tip").is_visible()
    page.close()


def test_treatments_and_normalisations_are_chosen(folder: Path, browser: Browser) -> None:
    page, complaints = opened(browser, folder / "page/index.html")
    treatment = next(name for name in data_of(page)["wells"]["treatments"] if name)
    page.fill("#treatment", treatment)
    assert "position" in page.text_content("#positions")
    before = page.locator("#batches svg").first.inner_html()
    page.select_option("#scheme", label=next(
        text for text in page.locator("#scheme option").all_text_contents() if text.startswith("plate-controls")))
    assert page.locator("#batches svg").first.inner_html() != before
    n_lines = page.locator("#batches svg path[data-series]").count()
    page.select_option("#effect-cell", "RPE")
    assert (n_lines, page.locator("#batches svg path[data-series]").count()) == (5, 2)
    assert complaints == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 800, 1300, 2200])
def test_nothing_is_cut_off_or_lies_beside_the_page(folder: Path, browser: Browser, width: int, scheme: str) -> None:
    page, complaints = opened(browser, folder / "page/index.html", width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 384) == (scheme == "dark")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background
    # Letters of charts stay in their picture.
    outside = page.evaluate("""[...document.querySelectorAll('svg')].flatMap((svg) => {
        const box = svg.getBoundingClientRect();
        return [...svg.querySelectorAll('text')].filter((text) => {
            const own = text.getBoundingClientRect();
            return own.left < box.left - 14 || own.right > box.right + 14;
        }).map((text) => text.textContent);
    })""")
    assert outside == [] and complaints == []
    page.close()


def test_runs_stand_side_by_side(folder: Path, browser: Browser) -> None:
    libraries = {"LD_LIBRARY_PATH": str(Path(".libtorch/lib").resolve()), **os.environ}
    for name, extra in (("one", []), ("two", ["--recipe", "two-step", "--second-epochs", "2"])):
        flags = ["--run", folder / name, "--model", "resnet18", "--batch", "16", "--epochs", "2", "--crop", "0", *extra]
        done = subprocess.run([BIN / "train", folder / "shards", *map(str, flags)],
                              capture_output=True, text=True, check=False, env=libraries)
        assert done.returncode == 0, done.stderr
    page, complaints = opened(browser, folder / "two/report.html")
    assert [run["name"] for run in data_of(page)["runs"]] == ["two", "two/HUVEC", "two/RPE"]
    assert complaints == []
    page.close()
    run("inspect", folder / "shards", "--runs", folder / "one", folder / "two", "--html", folder / "both")
    page, complaints = opened(browser, folder / "both/index.html")
    data = data_of(page)
    assert page.locator("#results-table tbody tr").count() == len(data["runs"]) == 4
    for shown in data["runs"]:
        with open(folder / shown["name"] / "metrics.csv") as file:
            names, *rows = (line.strip().split(",") for line in file)
        of = lambda name: {int(row[0]): float(row[names.index(name)]) for row in rows if row[names.index(name)]}
        losses, accuracies = of("val_loss"), of("val_accuracy_well")
        assert shown["best_loss"] == {"epoch": min(losses, key=losses.get), "value": min(losses.values())}
        assert shown["best_accuracy"]["epoch"] == max(accuracies, key=accuracies.get)
    # Both marks of each run, in the chart of the loss and in that of the accuracy.
    assert page.locator("#curves [data-mark=loss]").count() == page.locator("#curves [data-mark=accuracy]").count() == 8
    assert page.locator("#confused figure img").count() > 0
    rows = page.locator("#recipes-table tbody tr:visible").count()
    page.check("#only-different")
    assert 0 < page.locator("#recipes-table tbody tr:visible").count() < rows
    assert complaints == []
    page.close()
