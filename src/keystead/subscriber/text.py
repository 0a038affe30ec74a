"""`keystead.pki.text` under the name that this wing knows it by."""

from __future__ import annotations

from keystead.pki.text import as_text

__all__ = ["as_text"]
