"""What the README and the report's page say of the bench is what its raw numbers say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
README = REPOSITORY / "README.md"
if not README.exists():
    pytest.skip("tested without the source tree", allow_module_level=True)

from bench import pages, results  # noqa: E402 - there only with the source tree

CELL = re.compile(r"(?<=\| )[\d,]*\d(?:\.\d+)?(?= \|)")


@pytest.fixture(scope="module")
def readme() -> str:
    return README.read_text()


@pytest.fixture(scope="module")
def folder(readme: str) -> str:
    """The report that the README names, relative to it."""
    found = re.search(r"\[this report\]\((.+?)/table\.md\)", readme)
    assert found, "the README names no report"
    return found[1]


@pytest.fixture(scope="module")
def result(folder: str) -> results.Result:
    return results.load(REPOSITORY / folder)


def test_the_readme_is_written_from_the_report_it_names(
    readme: str, folder: str, result: results.Result
) -> None:
    written = pages.rewritten(readme, result, folder)
    assert readme == written, f"python -m bench readme {folder}"


def test_the_page_of_the_report_is_written_from_its_raw_numbers(
    folder: str, result: results.Result
) -> None:
    page = (REPOSITORY / folder / "table.md").read_text()
    assert page == pages.report(result), f"python -m bench report {folder}"


def test_every_figure_of_the_readme_stands_in_the_report(readme: str, folder: str) -> None:
    """Read back from the two texts, without the code that wrote them."""
    page = (REPOSITORY / folder / "table.md").read_text()
    section = readme.partition(pages.BEGIN)[2].partition(pages.END)[0]
    figures = set(CELL.findall(section))
    assert len(figures) > 50
    assert figures <= set(CELL.findall(page))


def test_the_quoted_figures_are_ours_in_the_report(
    readme: str, folder: str, result: results.Result
) -> None:
    first_table = readme.partition(pages.BEGIN)[2].split("\n\n")[2]
    quoted = [line.split(" | ") for line in first_table.splitlines()[2:]]
    assert [cells[0].removeprefix("| ") for cells in quoted] == [
        result.titles[work] for work in pages.QUOTED if work in result.works()
    ]
    page = (REPOSITORY / folder / "table.md").read_text()
    ours = [line for line in page.splitlines() if line.startswith("| asyncstatic serve |")]
    assert {cells[1] for cells in quoted} <= set(CELL.findall("\n".join(ours)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(r"(?<=\| 1 KiB, browser \| )[\d.]+", "1.00", id="a better figure"),
        pytest.param(
            r"Where `asyncstatic serve` costs more.*\n", "", id="an unwelcome sentence left out"
        ),
        pytest.param(r"Measured on: .*\n", "", id="the machine not named"),
    ],
)
def test_a_readme_that_says_something_else_is_noticed(
    readme: str, folder: str, result: results.Result, old: str, new: str
) -> None:
    changed = re.sub(old, new, readme, count=1)
    assert pages.rewritten(changed, result, folder) == readme != changed


def test_a_readme_without_a_place_for_figures_is_refused(result: results.Result) -> None:
    with pytest.raises(pages.MarksMissingError):
        pages.rewritten("# asyncstatic\n", result, "bench/results")
