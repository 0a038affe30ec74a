"""``python -m bench [NAME…] [--quick] [--record]``: runs the races in a throwaway folder, prints Markdown."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import handshakes, postquantum, revocation, signing, startup, uploads, workers
from bench.machine import OPENSSL_HEADERS, missing, record_head

RESULTS = Path(__file__).with_name("RESULTS.md")


@dataclass(frozen=True)
class Entry:
    """A race: what it needs besides Python, and how it is run in full and quickly."""

    needs: tuple[str, ...]
    full: Callable[[Path], str]
    quick: Callable[[Path], str]


RACES = {
    "startup": Entry(
        ("openssl",),
        lambda place: startup.race(place, 15),
        lambda place: startup.race(place, 5),
    ),
    "signing": Entry(
        ("openssl",),
        lambda place: signing.race(place, 20_000, 3, 1_000_000),
        lambda place: signing.race(place, 1_000, 1, 20_000),
    ),
    "handshakes": Entry(
        ("nginx", "gcc", OPENSSL_HEADERS),
        lambda place: handshakes.race(place, 2_000, 7),
        lambda place: handshakes.race(place, 500, 3),
    ),
    "workers": Entry(
        ("nginx", "gcc", OPENSSL_HEADERS),
        lambda place: workers.race(place, 4_000, 5),
        lambda place: workers.race(place, 800, 3),
    ),
    "postquantum": Entry(
        (),
        lambda place: postquantum.race(place, 1_000, 1_000, 5),
        lambda place: postquantum.race(place, 100, 100, 2),
    ),
    "uploads": Entry(
        ("nginx", "curl", "sync", "sha256sum"),
        lambda place: uploads.race(place, 1024, 5),
        lambda place: uploads.race(place, 128, 3),
    ),
    "revocation": Entry(
        ("gcc", OPENSSL_HEADERS),
        lambda place: revocation.race(place, 100_000, 5),
        lambda place: revocation.race(place, 100_000, 2),
    ),
}


def main() -> int:
    """Exit code 1 where a race that was asked for could not be run."""
    asked = _arguments()
    parts = [record_head(datetime.now(UTC))]
    print(parts[0], flush=True)
    left_out = 0
    for name in asked.names or RACES:
        entry = RACES[name]
        lacking = missing(entry.needs)
        if lacking:
            left_out += 1
            part = f"### {name}: not run\n\nMissing: {', '.join(lacking)} (`scripts/packages.sh bench`).\n"
        else:
            with tempfile.TemporaryDirectory(prefix="keystead-bench-") as place:
                part = (entry.quick if asked.quick else entry.full)(Path(place))
        print(part, flush=True)
        parts.append(part)
    if asked.record:
        with RESULTS.open("a") as file:
            file.write("\n" + "\n".join(parts))
    return 1 if left_out else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Races beside other people's programs."
    )
    # Without a NAME argparse looks for the empty list itself among the choices.
    parser.add_argument("names", metavar="NAME", nargs="*", choices=[*RACES, []], help=", ".join(RACES))
    parser.add_argument("--quick", action="store_true", help="small amounts: whether it runs, not how fast")
    parser.add_argument("--record", action="store_true", help=f"append to bench/{RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
