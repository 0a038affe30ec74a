"""Would git take a file? The part of gitignore(5) that decides it, read without running git.

Not here: escapes inside character classes, and git's global excludes: those are another
person's on the next machine, so a key must not hang on them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from keystead.machine.files import read_bounded

GITIGNORE = ".gitignore"
_LIMIT = 1 << 20


def is_ignored(file: Path) -> bool:
    """Whether the ``.gitignore`` files from the repository's top down to ``file`` keep it out of git.

    Outside a repository only the one in the file's own folder is read.
    """
    file = file.absolute()
    top = _top(file.parent)
    steps = [*reversed([p for p in file.parents if p.is_relative_to(top) and p != top]), file]
    return any(_verdict(step, top, is_folder=step is not file) for step in steps)


def _top(folder: Path) -> Path:
    inside = (place for place in (folder, *folder.parents) if (place / ".git").exists())
    return next(inside, folder)


def _verdict(path: Path, top: Path, *, is_folder: bool) -> bool:
    ignored = False
    places = [place for place in path.parents if place.is_relative_to(top)]
    for place in reversed(places):
        relative = path.relative_to(place).as_posix()
        for negated, folders_only, pattern in _rules(place / GITIGNORE):
            if pattern.fullmatch(relative) and (is_folder or not folders_only):
                ignored = not negated
    return ignored


def _rules(gitignore: Path) -> Iterator[tuple[bool, bool, re.Pattern[str]]]:
    if not gitignore.is_file():
        return
    for line in read_bounded(gitignore, _LIMIT).decode(errors="replace").splitlines():
        text = line.rstrip()
        if not text or text.startswith("#"):
            continue
        negated = text.startswith("!")
        text = text.removeprefix("!")
        bare = text.rstrip("/")
        if bare:
            yield negated, text.endswith("/"), _pattern(bare)


_TOKEN = re.compile(r"\\.|\*\*/|/\*\*|\*+|\?|\[[!^]?\]?[^]]*\]|.")
_WILDCARDS = {"**/": "(?:.*/)?", "/**": "/.*", "?": "[^/]"}
_NOTHING = re.compile("(?!)")


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    anywhere = "" if "/" in text else "(?:.*/)?"
    try:
        with warnings.catch_warnings():
            # Python warns that -- in a class may mean a set difference one day; git means a range by it.
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(anywhere + "".join(map(_translated, _TOKEN.findall(text.removeprefix("/")))))
    except re.error:  # such as the range [z-a]
        return _NOTHING


def _translated(token: str) -> str:
    if token in _WILDCARDS:
        return _WILDCARDS[token]
    if token.startswith("*"):
        return "[^/]*"
    if token.startswith("\\") and len(token) == 2:
        return re.escape(token[1])
    if token.startswith("[") and len(token) > 2:
        inside = re.sub(r"([\\\[&~|])", r"\\\1", token[1:-1])
        return f"[^/{inside[1:]}]" if inside[0] in "!^" else f"[{inside}]"
    return re.escape(token)
