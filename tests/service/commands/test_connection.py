"""The flags of a connection, against a server that wants TLS, a certificate and a token."""

import asyncio
import json
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from qdts.errors import ConfigError
from qdts.service.auth import AuthConfig
from qdts.service.bench import curve
from qdts.service.cli import FAILED, MISUSED, main
from qdts.service.client.config import Tls
from qdts.service.commands import connection
from qdts.service.quotas import QuotaConfig
from qdts.service.tls import TlsConfig

TOKEN = "a-token-0123456789"
# One of its calls is answered; after that its bucket is empty for hours.
POOR = "poor=0.001"


@pytest.fixture(name="address")
async def _address(kit: Any, pki: Path) -> AsyncIterator[str]:
    """Of a server that wants all of it, with a tenant who may next to nothing."""
    tls = TlsConfig(cert_file=str(pki / "one.pem"), key_file=str(pki / "one.key"), client_ca_file=str(pki / "ca.pem"))
    settings = kit.config(tls=tls, auth=AuthConfig(tokens=TOKEN), quotas=QuotaConfig(tenants=POOR))
    application = kit.Application(settings, load=lambda config: kit.Model())
    await application.start()
    yield f"localhost:{application.port}"
    await application.stop()


@pytest.fixture(name="secured")
def _secured(pki: Path, tmp_path: Path) -> list[str]:
    """The flags that such a server asks for."""
    (tmp_path / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    files = {"--ca": pki / "ca.pem", "--cert": pki / "client.pem", "--key": pki / "client.key"}
    return [str(part) for pair in files.items() for part in pair] + ["--token-file", str(tmp_path / "token")]


async def bench(address: str, *flags: str) -> int:
    asked = ["--rates", "10", "--seconds", "0.5", "--deadline", "60000", "--connections", "2", "--json"]
    return await asyncio.to_thread(main, ["bench", "--url", address, *asked, *flags])


@pytest.mark.parametrize("stream", [[], ["--stream"]], ids=["unary", "streaming"])
async def test_bench_is_let_in_with_all_of_it(
    address: str, secured: list[str], stream: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await bench(address, *secured, *stream) == 0
    [point] = json.loads(capsys.readouterr().out)["points"]
    assert point["figures"]["answered"] == point["figures"]["planned"] > 0


async def test_bench_measures_capacity_with_all_of_it(
    address: str, secured: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curve, "CurveConfig", partial(curve.CurveConfig, capacity_seconds=1.0))
    flags = [*secured, "--rates", "", "--multiples", "0.1", "--deadline", "60000"]
    assert await bench(address, *flags) == 0
    assert json.loads(capsys.readouterr().out)["capacity_qps"] > 0


@pytest.mark.parametrize(("flag", "problem"), [("--token-file", "bearer token"), ("--cert", ""), ("--ca", "")])
async def test_bench_says_in_a_line_what_it_is_refused_for(
    address: str, secured: list[str], flag: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    without = {flag, "--key"} if flag == "--cert" else {flag}
    pairs = zip(secured[::2], secured[1::2], strict=True)
    assert await bench(address, *(part for pair in pairs if pair[0] not in without for part in pair)) == FAILED
    said = capsys.readouterr()
    # The server, in this process, writes its log there, too.
    [line] = [line for line in said.err.splitlines() if line.startswith("qdts: ")]
    assert said.out == "" and problem in line
    assert TOKEN not in said.err


async def test_a_tenant_pays_for_what_it_sends(
    address: str, secured: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for flags in (["--tenant", "poor"], ["--metadata", "x-qdts-tenant=poor"]):
        assert await bench(address, *secured, *flags) == 0
        [point] = json.loads(capsys.readouterr().out)["points"]
        assert point["figures"]["rejected"] > 0
        assert point["figures"]["codes"].get("OK", 0) <= 1


async def test_one_summary_over_the_same_connection(
    address: str, secured: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "doc").write_text("The lighthouse was built in 1874.", encoding="utf-8")
    ask = ["summarize", "--query", "when?", "--doc-file", str(tmp_path / "doc"), "--url", address]
    assert await asyncio.to_thread(main, [*ask, *secured]) == 0
    assert "1874" in capsys.readouterr().out


def read(*flags: str) -> Any:
    parser = ArgumentParser()
    connection.add_flags(parser)
    return connection.read_client(parser.parse_args(flags))


def test_the_token_comes_from_the_environment_where_no_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QDTS_CLIENT_TOKEN", TOKEN)
    assert read("--tls").token == TOKEN and read("--tls").tls == Tls()
    (tmp_path / "token").write_text("\n another-token-0123456789 \n", encoding="utf-8")
    assert read("--tls", "--token-file", str(tmp_path / "token")).token == "another-token-0123456789"
    with pytest.raises(ConfigError, match="token: needs tls"):
        read()


def test_without_flags_it_is_a_plain_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QDTS_CLIENT_TOKEN", raising=False)
    assert (read().tls, read().token, read().metadata) == (None, None, ())
    assert read("--metadata", "x-a=1=2", "--metadata", "x-b=").metadata == (("x-a", "1=2"), ("x-b", ""))


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--cert", "c.pem"], "--cert and --key go together"),
        (["--key", "k.pem"], "--cert and --key go together"),
        (["--ca", "nowhere.pem"], "cannot read nowhere.pem"),
        (["--tls", "--token-file", "nowhere"], "cannot read nowhere"),
        (["--tls", "--token-file", "/dev/null"], "/dev/null holds no token"),
        (["--metadata", "x-key"], "--metadata x-key: must be KEY=VALUE"),
        (["--metadata", "X=1"], "metadata 'X'"),
    ],
)
def test_flags_that_do_not_fit_are_refused_in_a_line(
    flags: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--rates", "1", *flags]) == MISUSED
    assert problem in capsys.readouterr().err


def test_a_process_that_answers_itself_has_no_connection(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summarize", "--query", "q", "--doc-file", "/dev/null", "--tenant", "search"]) == MISUSED
    assert "need --url" in capsys.readouterr().err
