"""A private key, given to an OpenSSL context of pyOpenSSL. Not here: where the key lies (`custody`)."""

from __future__ import annotations

import warnings

from OpenSSL import SSL, crypto

from keystead.pki.keys import PrivateKey, is_experimental, private_pem


def use_key(context: SSL.Context, key: PrivateKey) -> None:
    """Let ``context`` prove itself by ``key``; raises `SSL.Error` where its certificate is another key's.

    pyOpenSSL takes no key of ML-DSA from pyca, only as its own object, of which it warns.
    """
    if is_experimental(key.public_key()):
        own = crypto.load_privatekey(crypto.FILETYPE_PEM, private_pem(key))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.use_privatekey(own)
    else:
        context.use_privatekey(key)  # type: ignore[arg-type]  # what is left it takes
    context.check_privatekey()
