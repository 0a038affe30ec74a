"""Links lead somewhere, and the site's table of contents is whole."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, anchors_of, links_in, name_of, text_of

NAVIGATION = ROOT / "mkdocs.yml"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file_and_every_anchor_to_a_heading(page: Path) -> None:
    for link in links_in(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors_of(target), link


def test_every_page_is_in_the_table_of_contents_once() -> None:
    listed = re.findall(r": (\S+\.md)$", text_of(NAVIGATION), re.MULTILINE)
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.*")), ids=name_of)
def test_no_page_names_a_path_of_the_machine_it_was_written_on(page: Path) -> None:
    if page.suffix in {".md", ".svg"}:
        assert not re.search(r"/(?:work|tmp|root)/|root@", text_of(page))


@pytest.mark.parametrize("picture", sorted(DOCS.rglob("*.svg")), ids=name_of)
def test_a_picture_fetches_nothing(picture: Path) -> None:
    addresses = re.findall(r"https?://[^\"'\s)<]+", re.sub(r'xmlns(:\w+)?="[^"]*"', "", text_of(picture)))
    assert [each for each in addresses if not each.startswith(("https://localhost", "https://files."))] == []
    assert "@import" not in text_of(picture)
    assert "url(http" not in text_of(picture)
