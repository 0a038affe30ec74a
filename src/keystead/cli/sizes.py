"""Sizes as people write and read them, for options and progress."""

from __future__ import annotations

import re
from typing import Any

import click

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Size(click.ParamType[int]):
    """An option's size in octets: ``500m``, ``16GiB``, ``1048576``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The octets that a text spells; `click.UsageError` for anything else."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9]{1,15})\s*([kmgt]?)(?:i?b)?", value.strip().lower())
        if match is None:
            self.fail(f"{value!r} is not a size; write for example 500m or 16g", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


def in_words(octets: int) -> str:
    """A size for people: ``24.0 MiB``."""
    amount = float(octets)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{octets} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
