"""Whether a database has the tables and indexes of an inventory and no others, by what SQLite makes of them.

A table can act by itself: one constraint with ON CONFLICT IGNORE drops what is written to it, and says
nothing. How a statement is spelled does not matter, nor in which order columns came: a table that was made
by migrations is the same. Not here: the tables (`schema`), and what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, create_engine, text

from keystead.ca.inventory.schema import metadata

_OTHERS = frozenset({"alembic_version", "sqlite_stat1", "sqlite_stat4"})
"""Tables of Alembic's and of SQLite's own: they say nothing of a CA, and are not compared."""

_TOKEN = re.compile(
    r"""\s+|(--|/\*)|"((?:[^"]|"")*)"|`([^`]*)`|\[([^]]*)\]|('(?:[^']|'')*'|\w+|.)""", re.DOTALL
)

_CLAUSES = {
    "conflict": "ON CONFLICT",
    "collate": "COLLATE",
    "deferrable": "DEFERRABLE",
    "autoincrement": "AUTOINCREMENT",
    "generated": "GENERATED",
    "--": "a comment",
    "/*": "a comment",
}
"""What makes a table behave otherwise and shows in its statement alone; an inventory has none of it."""


def differences(tx: Connection) -> tuple[str, ...]:
    """What the database has and no inventory does, then what it lacks, each as a sentence; sorted."""
    found = set(_facts(tx))
    engine = create_engine("sqlite://")
    with engine.begin() as other:
        metadata.create_all(other)
        wanted = set(_facts(other))
    engine.dispose()
    lacking = (f"it lacks {fact}" for fact in sorted(wanted - found))
    return (*sorted(found - wanted), *lacking)


def _facts(tx: Connection) -> Iterator[str]:
    """One sentence for each thing that decides how the tables behave."""
    for kind, name, table, sql in tx.execute(text("SELECT type, name, tbl_name, sql FROM sqlite_master")):
        tokens = _tokens(sql or "")
        yield from (f"{kind} {name}: {_CLAUSES[token]}" for token in tokens if token in _CLAUSES)
        if table in _OTHERS:
            continue
        if kind == "table":
            yield from _table(tx, name, tokens)
        elif kind != "index":
            yield f"{kind} {name}"


def _table(tx: Connection, table: str, tokens: list[str]) -> Iterator[str]:
    start, end = tokens.index("("), len(tokens) - tokens[::-1].index(")")
    yield f"table {table}: {' '.join(tokens[:start])} (…) {' '.join(tokens[end:])}".rstrip()
    columns = 'name, upper(type), "notnull", dflt_value, pk, hidden'
    for name, kind, not_null, default, key, hidden in _pragma(tx, columns, "table_xinfo", table):
        yield (
            f"table {table}: column {name} {kind}, not null {not_null}, default {default},"
            f" key {key}, hidden {hidden}"
        )
    references = '"from", "table", coalesce("to", \'\'), on_update, on_delete, "match"'
    for reference in _pragma(tx, references, "foreign_key_list", table):
        yield f"table {table}: reference {' '.join(map(str, reference))}"
    yield from (f"table {table}: CHECK {condition}" for condition in _after(tokens, "check"))
    for name, unique, origin, partial in _pragma(tx, 'name, "unique", origin, partial', "index_list", table):
        yield _index(tx, table, name, f"unique {unique}, of {origin}", partial=partial)


def _index(tx: Connection, table: str, name: str, how: str, *, partial: int) -> str:
    parts = _pragma(tx, "coalesce(name, '(expression)'), \"desc\", coll", "index_xinfo", name, "key")
    # Those that SQLite makes for a constraint are numbered in the constraints' order.
    shown = "of its own" if name.startswith("sqlite_autoindex_") else name
    told = ", ".join(" ".join(map(str, part)) for part in parts)
    where = ""
    if partial:
        sql = tx.execute(
            text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": name}
        ).scalar_one()
        tokens = _tokens(sql)
        where = f" where {' '.join(tokens[tokens.index('where') + 1 :])}"
    return f"table {table}: index {shown} ({told}), {how}{where}"


def _pragma(
    tx: Connection, columns: str, pragma: str, argument: str, condition: str = "true"
) -> list[tuple[Any, ...]]:
    # What comes from the database is a parameter.
    statement = f"SELECT {columns} FROM pragma_{pragma}(:argument) WHERE {condition}"  # noqa: S608 - all of it is written in this module
    return [tuple(row) for row in tx.execute(text(statement), {"argument": argument})]


def _tokens(sql: str) -> list[str]:
    """The words and signs of a statement: names bare and, like words, in lower case; strings as they are."""
    found = (next(filter(None, match.groups()), "") for match in _TOKEN.finditer(sql))
    return [token if token.startswith("'") else token.lower() for token in found if token]


def _after(tokens: list[str], word: str) -> Iterator[str]:
    """What stands in the parentheses after each ``word``."""
    for start, token in enumerate(tokens):
        if token != word:
            continue
        depth, end = 0, start + 1
        while end < len(tokens):
            depth += {"(": 1, ")": -1}.get(tokens[end], 0)
            end += 1
            if depth <= 0:
                break
        yield " ".join(tokens[start + 1 : end])
