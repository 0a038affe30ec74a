"""`keystead.client`: a ready HTTP client over mutual TLS, for programs.

It is httpx2's own, with three differences: it trusts the folder's anchors and nothing of the environment
(no proxies, no bundles, no ``.netrc``), it speaks ``https`` only, and what fails is a `KeysteadError`.
"""

from __future__ import annotations

import os
from pathlib import Path

import httpx2

from keystead.errors import WrongUsage
from keystead.machine.clock import Clock, system_clock
from keystead.subscriber.fileclient.address import choose
from keystead.subscriber.fileclient.session import credentials_of
from keystead.tls.alerts import Attempt
from keystead.tls.client import MutualContext, client_context
from keystead.tls.failures import explained


def client(
    folder: str | Path = "certs",
    name: str | None = None,
    *,
    server: str | None = None,
    timeout: float = 60.0,
    clock: Clock = system_clock,
) -> httpx2.Client:
    """An HTTP client that presents the certificate of ``folder``, to be used as a context manager.

    ``name`` is which identity, where several fit. Relative URLs go to ``server``, chosen as ``keystead
    upload`` does: this argument, ``KEYSTEAD_SERVER``, the last one that worked from the folder,
    ``https://localhost:8443``. ``timeout`` is in seconds, without progress. Raises `KeysteadError` for a
    folder that cannot be used; so do requests, where network or TLS fail or the server is not to be trusted.
    """
    path = Path(folder)
    context = client_context(credentials_of(path, name), clock)
    address = choose(server, os.environ, path)
    return httpx2.Client(
        transport=_Transport(context, clock), base_url=address.url, trust_env=False, timeout=timeout
    )


class _Transport(httpx2.HTTPTransport):
    def __init__(self, context: MutualContext, clock: Clock) -> None:
        super().__init__(verify=context, trust_env=False)
        self._context = context
        self._clock = clock

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.scheme != "https":
            raise WrongUsage(
                f"{request.url.scheme}://{request.url.host} is not called",
                why="what is sent there would be readable by anybody, and sent to anybody",
                mend="use https://",
            )
        port = request.url.port or 443
        with explained(lambda: Attempt(request.url.host, port, self._context.credentials, self._clock())):
            return super().handle_request(request)
