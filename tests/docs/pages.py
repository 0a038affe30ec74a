"""The documentation's pages, and what is found in them: blocks of code, links, tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

PAGES = sorted(
    [
        *DOCS.rglob("*.md"),
        *ROOT.glob("*.md"),
        ROOT / "examples" / "scripts" / "README.md",
    ]
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    """The page's path from the root of the repository."""
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    """What the page says."""
    return page.read_text(encoding="utf-8")


def code_in(page: Path) -> Iterator[str]:
    """Every block of code, its lines joined where they end in a backslash, and every span of code."""
    text = text_of(page)
    for match in _FENCE.finditer(text):
        yield re.sub(r"\\\n\s*", "", match[2])
    yield from (match[1].replace(r"\|", "|") for match in _INLINE.finditer(_FENCE.sub("", text)))


def links_in(page: Path) -> Iterator[str]:
    """The target of every link and picture."""
    return (match[1] for match in _LINK.finditer(_FENCE.sub("", text_of(page))))


def anchors_of(page: Path) -> set[str]:
    """What a link may name in the page, as renderers spell it."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows_of(page: Path) -> Iterator[list[str]]:
    """The cells of every row of every table, code marks removed."""
    for line in text_of(page).splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            yield [cell.strip().replace("`", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
