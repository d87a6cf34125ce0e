"""The runtime's carrier is pyreqwest where that can do what is asked, else httpx; what is asked holds either way."""

from __future__ import annotations

import datetime as dt
import ipaddress
import logging
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exospherehost import APIConnectionError
from exospherehost._config import resolve_connection
from exospherehost._transport.carrier_choice import fastest_carrier
from exospherehost._transport.httpx_carrier import HttpxCarrier
from exospherehost._transport.pyreqwest_carrier import PyreqwestCarrier
from exospherehost_client.types import Request
from tests._support.carriers import KEY, MakeCarrier, opened
from tests._support.certificates import make_certificate
from tests._support.fake_state_manager import FakeStateManager
from tests._support.http_service import Answer, HttpService
from tests._support.raw_service import RawService, answer_always

FASTEST = MakeCarrier(fastest_carrier, 0, notices_at_once=False)
GET = Request("GET", "/v0/x")
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_authorities_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "https://127.0.0.1:9"])
@pytest.mark.parametrize("verify", [True, False])
async def test_ordinary_settings_take_the_lean_one(caplog: pytest.LogCaptureFixture, uri: str, verify: bool) -> None:
    caplog.set_level(logging.DEBUG, "exospherehost")

    async with opened(FASTEST, uri, verify=verify, headers={"authorization": "secret-token"}) as carrier:
        assert isinstance(carrier, PyreqwestCarrier)

    assert f"event=carrier uri={uri} carrier=pyreqwest" in caplog.messages
    assert KEY not in caplog.text
    assert "secret-token" not in caplog.text


@pytest.mark.parametrize(
    "options",
    [{"proxy": "http://user:pa55word@127.0.0.1:1"}, {"cert": __file__}, {"verify": __file__}],
    ids=lambda options: next(iter(options)),
)
async def test_what_only_httpx_takes_goes_to_httpx(caplog: pytest.LogCaptureFixture, options: dict[str, str]) -> None:
    caplog.set_level(logging.DEBUG, "exospherehost")

    async with opened(FASTEST, NOWHERE, **options) as carrier:
        assert isinstance(carrier, HttpxCarrier)

    assert any("carrier=httpx" in message for message in caplog.messages)
    assert "pa55word" not in caplog.text


@pytest.mark.parametrize("name", [".", ".."])
async def test_namespace_of_dots_goes_to_httpx(name: str) -> None:
    settings = resolve_connection(namespace=name, state_manager_uri=NOWHERE, key=KEY, api_version="v0")

    assert isinstance(fastest_carrier(settings, NOWHERE, "the-sdk/1.0"), HttpxCarrier)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with HttpService(lambda _: Answer(200, {})) as proxy:
        monkeypatch.setenv(name, proxy.uri)
        async with opened(FASTEST, "http://somewhere.invalid:81") as carrier:
            await carrier.send(GET)

    assert proxy.paths() == ["http://somewhere.invalid:81/v0/x"]


@pytest.mark.parametrize("variables", [{"NO_PROXY": "127.0.0.1"}, {"no_proxy": "*"}])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
async def test_no_proxy_of_the_environment_is_heeded(
    monkeypatch: pytest.MonkeyPatch, name: str, variables: dict[str, str]
) -> None:
    for variable, value in {name: NOWHERE, **variables}.items():
        monkeypatch.setenv(variable, value)
    async with RawService(answer_always) as service, opened(FASTEST, service.uri) as carrier:
        assert isinstance(carrier, PyreqwestCarrier)
        assert (await carrier.send(GET)).status_code == 200


async def test_proxy_for_the_other_scheme_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", NOWHERE)
    async with RawService(answer_always) as service, opened(FASTEST, service.uri) as carrier:
        assert isinstance(carrier, PyreqwestCarrier)
        assert (await carrier.send(GET)).status_code == 200


async def test_authorities_of_the_environment_are_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "server")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.certificate, certificate.key)
    async with RawService(answer_always, tls=context) as service, opened(FASTEST, service.uri) as carrier:
        assert (await carrier.send(GET)).status_code == 200


def test_missing_file_of_authorities_is_not_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not Path(ssl.get_default_verify_paths().openssl_cafile).is_file():
        pytest.skip("without a default file, ssl does not tell a missing one from none")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))

    assert isinstance(FASTEST("https://127.0.0.1:9"), HttpxCarrier)


@pytest.mark.parametrize("trusted", [True, False])
async def test_lean_one_trusts_what_httpx_trusts_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trusted: bool
) -> None:
    authority, context = _authority_and_service(tmp_path)
    if trusted:
        monkeypatch.setattr("certifi.contents", lambda: authority)
    async with RawService(answer_always, tls=context) as service, opened(FASTEST, service.uri) as carrier:
        assert isinstance(carrier, PyreqwestCarrier)
        if trusted:
            assert (await carrier.send(GET)).status_code == 200
        else:
            with pytest.raises(APIConnectionError) as caught:
                await carrier.send(GET)
            assert not caught.value.sent
            assert service.requests == []


def _authority_and_service(folder: Path) -> tuple[str, ssl.SSLContext]:
    """An authority's certificate, and a service with one that it signed: rustls takes no authority as a service."""
    now = dt.datetime.now(dt.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("authority", "service")]
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    texts: list[str] = []
    for number in range(2):
        certificate = (
            x509.CertificateBuilder()
            .subject_name(names[number])
            .issuer_name(names[0])
            .public_key(keys[number].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=True)
            .add_extension(address, critical=False)
            .sign(keys[0], hashes.SHA256())
        )
        texts.append(certificate.public_bytes(serialization.Encoding.PEM).decode())
    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both = folder / "service.pem"
    both.write_bytes(texts[1].encode() + private)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(both)
    return texts[0], context


WITHOUT_PYREQWEST = """
import asyncio, logging, sys

sys.modules["pyreqwest"] = None
logging.basicConfig(level=logging.DEBUG)
from exospherehost import BaseNode, Runtime
from pydantic import BaseModel

class Echo(BaseNode):
    class Inputs(BaseModel):
        text: str
    class Outputs(BaseModel):
        text: str
    class Secrets(BaseModel):
        pass
    async def execute(self) -> Outputs:
        runtime.stop()
        return self.Outputs(text=self.inputs.text)

runtime = Runtime("ns", "r", [Echo], sys.argv[1], "test-api-key-0123456789", poll_interval=0.05)
asyncio.run(runtime.run())
print("exospherehost._transport.pyreqwest_carrier" in sys.modules)
"""


def test_runtime_works_without_pyreqwest(service: FakeStateManager) -> None:
    state_id = service.put_state("Echo", {"text": "hello"})

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYREQWEST, service.uri], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"
    assert "carrier=httpx reason=" in done.stderr
    report = service.report_of(state_id)
    assert report is not None
    assert report.body == {"outputs": [{"text": "hello"}]}
