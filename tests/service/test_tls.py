"""TLS and mutual TLS over real connections, with a CA made for the test."""

import asyncio
import os
import shutil
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from qdts.errors import ConfigError, QuotaExceeded, Unavailable
from qdts.service.admin_config import AdminConfig
from qdts.service.auth import AuthConfig
from qdts.service.client import AsyncClient, ClientConfig, RetryPolicy
from qdts.service.client.config import Tls
from qdts.service.client.operator import Operator
from qdts.service.config import ServerConfig
from qdts.service.quotas import QuotaConfig
from qdts.service.tls import CertificateFiles, TlsConfig

TOKEN = "a-token-0123456789"


@pytest.fixture(name="files")
def _files(pki: Path, tmp_path: Path) -> Path:
    """A folder with the server's files in use: tls.pem, tls.key and the clients' ca.pem."""
    install(pki, tmp_path, "one")
    shutil.copy(pki / "ca.pem", tmp_path / "ca.pem")
    return tmp_path


def install(pki: Path, files: Path, name: str, ends: tuple[str, ...] = ("key", "pem")) -> None:
    for end in ends:
        shutil.copy(pki / f"{name}.{end}", files / "new")
        os.replace(files / "new", files / f"tls.{end}")


def config(files: Path, *, mutual: bool = False) -> TlsConfig:
    ca = str(files / "ca.pem") if mutual else ""
    return TlsConfig(cert_file=str(files / "tls.pem"), key_file=str(files / "tls.key"), client_ca_file=ca)


def client(server: Any, pki: Path, name: str | None = None, token: str | None = None) -> AsyncClient:
    own = {} if name is None else {"key_file": pki / f"{name}.key", "chain_file": pki / f"{name}.pem"}
    tls = Tls(ca_file=pki / "ca.pem", **own)
    once = RetryPolicy(max_attempts=1)
    return AsyncClient(
        f"localhost:{server.application.port}", ClientConfig(timeout_s=5, tls=tls, token=token, retry=once)
    )


async def start(kit: Any, **sections: Any) -> Any:
    application = kit.Application(kit.config(**sections), load=lambda config: kit.Model())
    await application.start()
    return type("Server", (), {"application": application})()


def subject(port: int, pki: Path) -> str:
    """The common name that the server shows in a new handshake."""
    context = ssl.create_default_context(cafile=pki / "ca.pem")
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secured,
    ):
        shown: Any = secured.getpeercert()
        return shown["subject"][0][0][1]


async def test_token_over_tls_is_answered_and_plain_text_is_not(kit: Any, files: Path, pki: Path) -> None:
    server = await start(kit, tls=config(files), auth=AuthConfig(tokens=TOKEN))
    async with client(server, pki, token=TOKEN) as trusted:
        assert (await trusted.summarize("When was it built?", kit.LIGHTHOUSE)).rung == "full"
    async with AsyncClient(
        f"127.0.0.1:{server.application.port}", ClientConfig(retry=RetryPolicy(max_attempts=1))
    ) as plain:
        with pytest.raises(Unavailable):
            await plain.summarize("When was it built?", kit.LIGHTHOUSE)
    await server.application.stop()


@pytest.mark.parametrize(("name", "is_let_in"), [("client", True), ("stranger", False), (None, False)])
async def test_mutual_tls_lets_in_who_the_ca_knows(
    kit: Any, files: Path, pki: Path, name: str | None, is_let_in: bool
) -> None:
    server = await start(kit, tls=config(files, mutual=True))
    async with client(server, pki, name) as caller:
        if is_let_in:
            assert (await caller.summarize("When was it built?", kit.LIGHTHOUSE)).summary
        else:
            with pytest.raises(Unavailable):
                await caller.summarize("When was it built?", kit.LIGHTHOUSE)
    await server.application.stop()


async def test_files_replaced_under_way_are_shown_to_whoever_comes_next(
    kit: Any, files: Path, pki: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = await start(kit, tls=config(files))
    port = server.application.port
    assert await asyncio.to_thread(subject, port, pki) == "one"
    async with client(server, pki) as connected:
        await connected.summarize("When was it built?", kit.LIGHTHOUSE)
        install(pki, files, "two", ("pem",))  # its key is still to come
        assert await asyncio.to_thread(subject, port, pki) == "one"
        assert '"event": "tls_reload_failed"' in capfd.readouterr().err
        install(pki, files, "two", ("key",))
        assert await asyncio.to_thread(subject, port, pki) == "two"
        assert (await connected.summarize("When was it built?", kit.LIGHTHOUSE)).summary  # was not cut off
    await server.application.stop()


def test_files_that_are_not_a_pair_stop_the_start(files: Path, pki: Path) -> None:
    install(pki, files, "two", ("pem",))
    with pytest.raises(ConfigError, match="not a certificate and its key"):
        CertificateFiles(config(files)).load()


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path / "tls.pem")):
        CertificateFiles(config(tmp_path)).load()


@pytest.mark.parametrize("settings", [{"cert_file": "x"}, {"key_file": "x"}, {"client_ca_file": "x"}])
def test_settings_that_need_another_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"tls\."):
        TlsConfig(**settings)


@pytest.mark.parametrize(
    ("names", "is_bound"), [("client=modest", True), ("127.0.0.1=modest", True), ("two=modest", False)]
)
async def test_a_client_certificate_may_be_bound_to_a_tenant(
    kit: Any, files: Path, pki: Path, names: str, is_bound: bool
) -> None:
    """By its common name or by another of its names; who is bound to none has none."""
    quotas = QuotaConfig(tenants="modest=1", burst_s=0.1)  # one request, then none for long
    tls, auth = config(files, mutual=True), AuthConfig(certificate_tenants=names)
    server = await start(kit, tls=tls, auth=auth, quotas=quotas)
    async with client(server, pki, "client") as caller:
        assert (await caller.summarize("When was it built?", kit.LIGHTHOUSE)).summary
        again = caller.summarize("When was it built?", kit.LIGHTHOUSE)
        if is_bound:
            with pytest.raises(QuotaExceeded):
                await again
        else:
            assert (await again).summary
    await server.application.stop()


def test_tenants_by_certificate_need_certificates() -> None:
    with pytest.raises(ConfigError, match=r"needs tls\.client_ca_file"):
        ServerConfig(auth=AuthConfig(certificate_tenants="client=a"))


@pytest.mark.parametrize(("name", "is_let_in"), [("stranger", True), ("client", False), (None, False)])
async def test_operators_show_certificates_of_a_ca_of_their_own(
    kit: Any, files: Path, pki: Path, name: str | None, is_let_in: bool
) -> None:
    """The callers' CA is none of theirs."""
    admin = AdminConfig(port=0, client_ca_file=str(pki / "other.pem"))
    server = await start(kit, tls=config(files, mutual=True), admin=admin)
    own = {} if name is None else {"key_file": pki / f"{name}.key", "chain_file": pki / f"{name}.pem"}
    with Operator(f"localhost:{server.application.operators_port}", tls=Tls(ca_file=pki / "ca.pem", **own)) as operator:
        if is_let_in:
            assert (await asyncio.to_thread(operator.status)).model_version == "fake@0123"
        else:
            with pytest.raises(Unavailable):
                await asyncio.to_thread(operator.status)
    await server.application.stop()
