"""TLS: from certificate files to the context of a listening socket."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from exospherehost.server.domain.errors import StartupError

PASSWORD_VARIABLE = "EXOSPHERE_SSL_KEYFILE_PASSWORD"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files to serve TLS with.

    Attributes:
        certificate: The certificate and its intermediate certificates, in PEM.
        key: The private key, in PEM; None if the certificate's file holds it.
        password: The password of the private key; hidden in the repr.
    """

    certificate: Path
    key: Path | None = None
    password: str | None = field(default=None, repr=False)

    def context(self) -> ssl.SSLContext:
        """Return a server's TLS context, for TLS 1.2 and newer.

        Raises:
            StartupError: A file cannot be read or is not in PEM, or key and certificate do not match.
        """
        for path in (self.certificate, self.key or self.certificate):
            if not os.access(path, os.R_OK) or path.is_dir():
                raise StartupError(f"cannot read the file {path}: give a file in PEM that this user may read")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        password = self.password or ""
        try:
            # Given no function, OpenSSL would ask at the terminal.
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


class ReloadableTls:
    """A TLS context whose files can be reloaded while it serves.

    Connections that are open keep their certificate. A failed reload changes nothing.

    Args:
        files: The files.

    Raises:
        StartupError: As :meth:`TlsFiles.context`.
    """

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        self.context = self._current = files.context()
        # OpenSSL calls this for each handshake, also where the client names no host.
        self.context.sni_callback = self._choose

    def reload(self) -> None:
        """Read the files again, for the connections to come.

        Raises:
            StartupError: As :meth:`TlsFiles.context`.
        """
        self._current = self.files.context()

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _host: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current
