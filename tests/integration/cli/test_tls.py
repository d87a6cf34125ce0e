from __future__ import annotations

import signal
import socket
import ssl
import warnings
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization

from exospherehost import StateManager
from exospherehost_client.api.nodes import list_namespaces
from tests._support.certificates import Certificate, make_certificate
from tests._support.command import Command
from tests._support.eventually import eventually_sync

PASSWORD = "the-password-of-the-key"


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path, "server")


def encrypted(certificate: Certificate, folder: Path) -> Path:
    key = serialization.load_pem_private_key(certificate.key.read_bytes(), None)
    path = folder / "encrypted.key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSWORD.encode()),
        )
    )
    return path


def serve(folder: Path, *words: str | Path, **environment: str) -> Command:
    return Command("serve", "--port", "0", *words, folder=folder, environment=environment)


@pytest.mark.parametrize("form", ["two files", "one file", "encrypted"])
async def test_the_sdk_speaks_tls_with_it(tmp_path: Path, certificate: Certificate, form: str) -> None:
    words: list[str | Path] = ["--ssl-certfile", certificate.both if form == "one file" else certificate.certificate]
    if form != "one file":
        words += ["--ssl-keyfile", encrypted(certificate, tmp_path) if form == "encrypted" else certificate.key]
    with serve(tmp_path, *words, EXOSPHERE_SSL_KEYFILE_PASSWORD=PASSWORD) as command:
        exports = command.exports()
        uri = exports["EXOSPHERE_STATE_MANAGER_URI"]
        assert uri.startswith("https://127.0.0.1:")
        async with StateManager(
            namespace="a", state_manager_uri=uri, key=exports["EXOSPHERE_API_KEY"], verify=str(certificate.certificate)
        ) as manager:
            assert (await list_namespaces.asyncio(client=manager.raw_client)).count == 0
        assert PASSWORD not in command.output + command.errors


def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path, certificate: Certificate) -> None:
    with serve(tmp_path, "--ssl-certfile", certificate.certificate, "--ssl-keyfile", certificate.key) as command:
        port = int(command.exports()["EXOSPHERE_STATE_MANAGER_URI"].rsplit(":", 1)[1])
        spoken = {}
        for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(certificate.certificate)
            context.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                # That it is deprecated is the point.
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = context.maximum_version = version
            try:
                with (
                    socket.create_connection(("127.0.0.1", port), timeout=30) as raw,
                    context.wrap_socket(raw, server_hostname="127.0.0.1") as wrapped,
                ):
                    spoken[version] = wrapped.version()
            except (ssl.SSLError, ConnectionError):
                spoken[version] = None
    assert list(spoken.values()) == [None, "TLSv1.2", "TLSv1.3"]


def test_files_that_cannot_be_used_are_one_line_that_says_what_to_do(tmp_path: Path, certificate: Certificate) -> None:
    other = make_certificate(tmp_path, "other")
    (tmp_path / "garbage.pem").write_text("no certificate")
    for words, message in (
        (["--ssl-certfile", "missing.pem"], "cannot read the file missing.pem"),
        (["--ssl-certfile", str(tmp_path)], "cannot read the file"),
        (["--ssl-certfile", "garbage.pem"], "do not hold a certificate and its private key in PEM"),
        (["--ssl-certfile", str(certificate.certificate)], "do not hold a certificate and its private key in PEM"),
        (["--ssl-certfile", "server.crt", "--ssl-keyfile", str(other.key)], "does not belong to the certificate"),
        (
            ["--ssl-certfile", "server.crt", "--ssl-keyfile", str(encrypted(certificate, tmp_path))],
            "set EXOSPHERE_SSL_KEYFILE_PASSWORD",
        ),
        (["--ssl-keyfile", "server.key"], "--ssl-keyfile needs --ssl-certfile"),
    ):
        with serve(tmp_path, *words) as command:
            assert command.wait() in (1, 2)
            assert message in command.errors, command.errors
            assert "Traceback" not in command.errors


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_sighup_reloads_the_certificate_and_leaves_open_connections_alone(
    tmp_path: Path, certificate: Certificate
) -> None:
    files = ("--ssl-certfile", certificate.certificate, "--ssl-keyfile", certificate.key)
    with serve(tmp_path, *files, EXOSPHERE_LOG_LEVEL="INFO") as command:
        uri = command.exports()["EXOSPHERE_STATE_MANAGER_URI"]
        first = served_certificate(uri)
        with httpx.Client(base_url=uri, verify=False) as http:  # noqa: S501 - which certificate it is, is the point
            assert http.get("/health").status_code == 200
            renewed = make_certificate(tmp_path, "renewed")
            renewed.certificate.replace(certificate.certificate)
            renewed.key.replace(certificate.key)
            command.process.send_signal(signal.SIGHUP)
            eventually_sync(lambda: served_certificate(uri) != first)
            assert served_certificate(uri) == certificate.certificate.read_text()
            assert http.get("/health").status_code == 200
        # A file that is no certificate changes nothing.
        certificate.certificate.write_text("no certificate")
        command.process.send_signal(signal.SIGHUP)
        eventually_sync(lambda: "event=tls_reload_failed" in command.errors)
        assert served_certificate(uri) != first
        assert "send SIGHUP again" in command.errors


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_sighup_does_not_end_a_server_without_tls(tmp_path: Path) -> None:
    with serve(tmp_path, EXOSPHERE_LOG_LEVEL="INFO") as command:
        uri = command.exports()["EXOSPHERE_STATE_MANAGER_URI"]
        command.process.send_signal(signal.SIGHUP)
        eventually_sync(lambda: "event=reload_skipped" in command.errors)
        assert httpx.get(f"{uri}/health").status_code == 200


def served_certificate(uri: str) -> str:
    return ssl.get_server_certificate(("127.0.0.1", int(uri.rsplit(":", 1)[1])))
