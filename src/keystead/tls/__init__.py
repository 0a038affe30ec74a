"""TLS: our own server transport, contexts that are swapped while serving, the verified peer, refusals."""
