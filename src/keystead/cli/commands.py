"""The commands of ``keystead``: a table of where each lies and what its help line is; none is imported here.

Not here: the process around them (`main`).
"""

from __future__ import annotations

import click

from keystead.cli.lazy import Entry, LazyGroup

COMMANDS = {
    "demo": Entry("keystead.cli.demo:demo", "The whole workflow with real processes, then the refusals."),
    "dev": Entry("keystead.cli.dev:dev", "A CA, a server's and a client's files for local testing."),
    "ca": Entry("keystead.cli.ca.group:ca", "The certification authority: init, sign, list, revoke …"),
    "csr": Entry("keystead.cli.csr:csr", "Make a key and a CSR here; only the CSR travels."),
    "install": Entry("keystead.cli.install:install", "Check what the CA sent back, and put it in place."),
    "serve": Entry("keystead.cli.serve:serve", "The web server that admits only trusted certificates."),
    "upload": Entry("keystead.cli.upload:upload", "Send files over mutual TLS."),
    "ls": Entry("keystead.cli.fetch:ls", "List the files that the server keeps for this identity."),
    "get": Entry("keystead.cli.fetch:get", "Fetch files from the server."),
    "export": Entry("keystead.cli.export:export", "Key and chain in one file, for browsers, HAProxy, Java."),
    "show": Entry("keystead.cli.show:show", "A certificate, CSR, CRL, key file or endpoint in words."),
    "status": Entry("keystead.cli.status:status", "What expires, and when."),
    "doctor": Entry("keystead.cli.doctor:doctor", "What is wrong here, and what mends it."),
}


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: keystead demo   (nothing is left behind)",
)
@click.version_option(package_name="keystead", message="keystead %(version)s")
def cli() -> None:
    """Mutual TLS, from the first certificate to production; every private key stays where it was made."""
