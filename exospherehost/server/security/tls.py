"""TLS: from files to what a listening socket needs."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from exospherehost.server.domain.errors import StartupError

PASSWORD_VARIABLE = "EXOSPHERE_SSL_KEYFILE_PASSWORD"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """With what to serve TLS.

    Attributes:
        certificate: The certificate and those between it and its authority, in PEM.
        key: The private key, in PEM; None where it is in the same file.
        password: What the key is encrypted with; in no repr.
    """

    certificate: Path
    key: Path | None = None
    password: str | None = field(default=None, repr=False)

    def context(self) -> ssl.SSLContext:
        """Return what sockets are wrapped in; TLS 1.2 is the least that is spoken.

        Raises:
            StartupError: A file cannot be read, is not in PEM, or the two do not belong together.
        """
        for path in (self.certificate, self.key or self.certificate):
            if not os.access(path, os.R_OK) or path.is_dir():
                raise StartupError(f"cannot read the file {path}: give a file in PEM that this user may read")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        password = self.password or ""
        try:
            # Without the function, OpenSSL would ask for a password at the terminal.
            context.load_cert_chain(self.certificate, self.key, password=lambda: password)
        except ssl.SSLError as error:
            raise StartupError(self._explained(error)) from error
        return context

    def _explained(self, error: ssl.SSLError) -> str:
        key = self.key or self.certificate
        reason = (error.reason or "").upper()
        if reason == "KEY_VALUES_MISMATCH":
            return f"the key in {key} does not belong to the certificate in {self.certificate}"
        if b"ENCRYPTED" in key.read_bytes():
            return f"the key in {key} cannot be decrypted: set {PASSWORD_VARIABLE} to its password"
        return f"{self.certificate} and {key} do not hold a certificate and its private key in PEM ({reason or error})"
