"""What a server says of the caller that it sees: the answer to ``GET /whoami``.

Not here: how it came to see that (`tls.peer`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from keystead.errors import BadInput, KeysteadError
from keystead.pki.expiry import stamp
from keystead.pki.names import Identity

PATH: Final = "/whoami"

_MAX_ANSWER: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """Who the caller is to the server, and by which certificate: serial (hex) and end of validity (UTC)."""

    identity: Identity
    serial: str
    not_after: datetime

    def to_json(self) -> bytes:
        """As the body of an answer; the identity's parts stand there too, for whoever reads it with jq."""
        return json.dumps(
            {
                "identity": self.identity.uri,
                "environment": self.identity.environment,
                "trust_domain": str(self.identity.trust_domain),
                "profile": self.identity.profile,
                "name": self.identity.name,
                "serial": self.serial,
                "not_after": stamp(self.not_after),
            }
        ).encode("ascii")

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """From the body of an answer; raises `BadInput`."""
        try:
            members = json.loads(data[: _MAX_ANSWER + 1])
            return cls(
                Identity.parse(members["identity"]),
                str(members["serial"]),
                datetime.fromisoformat(members["not_after"]),
            )
        except (KeyError, TypeError, ValueError, RecursionError, AttributeError, KeysteadError):
            raise BadInput(
                "the server's answer cannot be understood",
                why="it does not say whom it sees",
                mend="check that the address is that of a keystead serve (--to URL)",
                code="bad-answer",
            ) from None
