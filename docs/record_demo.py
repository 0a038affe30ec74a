"""Plays ``keystead demo`` and writes down what it says: python docs/record_demo.py

``reference/demo.md`` gets the whole of it, ``images/demo.svg`` the part that a README has room for. Run it
where port 8443 is free, so that the pages show the port that people know.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent
PAGE = DOCS / "reference" / "demo.md"
PICTURE = DOCS / "images" / "demo.svg"

_WIDTH = 104
_SHOWN = ("A client's machine", "The upload", "Refused: no certificate", "Refused: a revoked", "Refused by")
"""Beginnings of the chapters that are in the picture."""

_STYLES = (
    (r"\d+\. .*", "bold"),
    (r" +\$ .*", "cyan"),
    (r" *✓ .*", "green"),
    (r" +error: .*", "red"),
    (r" +(?:why|mend): .*", "yellow"),
    (r" +· .*", "dim"),
    (r"…", "dim"),
)
"""What a line looks like → how it is shown; the first that fits counts."""

_HEAD = """\
# A transcript of `keystead demo`

What `make demo` and `keystead demo` show: the whole workflow with real processes on one machine, then each
refusal. `keystead demo --dir DIR` keeps the files; each folder in DIR then stands for a machine, and every
command can be typed again there. This page was written by `docs/record_demo.py` from a real run.

"""


def main() -> None:
    """Play it, and write both files."""
    ran = subprocess.run(
        [sys.executable, "-m", "keystead", "demo"], capture_output=True, text=True, check=True, timeout=120
    )
    told = ran.stdout.strip()
    PAGE.write_text(f"{_HEAD}```text\n{told}\n```\n", encoding="utf-8")
    PICTURE.write_text(_picture(_excerpt(told)), encoding="utf-8")


def _excerpt(told: str) -> Iterator[str]:
    """The lines of the chapters that are shown, and of the end."""
    yield "$ keystead demo"
    skipping = False
    for chapter in told.split("\n\n"):
        title = re.match(r"\d+\. (.*)", chapter)
        if title is not None and not title[1].startswith(_SHOWN):
            if not skipping:
                yield "…"
            skipping = True
            continue
        if title is None and "all of it went" not in chapter:
            continue
        skipping = False
        yield from chapter.partition("\n     · and one whose")[0].splitlines()
        yield ""


def _picture(lines: Iterator[str]) -> str:
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), highlight=False)
    for line in lines:
        style = next((style for pattern, style in _STYLES if re.fullmatch(pattern, line)), "")
        console.print(Text(_within(line), style=style))
    return console.export_svg(title="keystead demo", code_format=_format(), unique_id="demo") + "\n"


def _within(line: str) -> str:
    """The line with long numbers cut short, wrapped to the picture's width."""
    short = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b", r"\1…", line)
    return textwrap.fill(short, _WIDTH, subsequent_indent=" " * 13)


def _format() -> str:
    """rich's frame without what would be fetched: its fonts, which lie on other people's servers."""
    frame = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    frame = re.sub(r"<!--.*?-->\s*", "", frame)
    return frame.replace("Fira Code", "ui-monospace, 'DejaVu Sans Mono'")


if __name__ == "__main__":
    main()
