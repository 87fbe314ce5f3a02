"""The whole of it: over TLS, under an ACL, on a node of a cluster."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qdts.errors import ConfigError
from qdts.loadtest.bench_startup import free_port
from qdts.loadtest.redis_server import RedisServer
from qdts.service.cache import Entry
from qdts.service.deadline import Deadline

KEY = b"k" * 32
# What qdts needs, and nothing else: docs/operations.md.
RULES = (
    "on",
    ">hunter2",
    "~qdts:*",
    "resetchannels",
    "-@all",
    "+get",
    "+set",
    "+del",
    "+eval",
    "+ping",
)


async def round_trip(process: Any) -> Entry | None:
    """Leave, an entry kept, leave given back, the entry found."""
    await process.open()
    claim = await process.replies.claim(KEY, Deadline.after(5))
    assert claim.token is not None
    process.replies.settle(KEY, Entry(reply=None, fresh_s=60.0), claim.token)
    await process.replies.close()
    return await process.replies.get(KEY, Deadline.after(5))


@pytest.fixture(name="certificates")
def _certificates(tmp_path: Path) -> Path:
    """A certificate authority and a server's certificate for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl(*new, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test authority")
    server = ("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE")
    openssl(*new, "-keyout", "a.key", "-out", "a.crt", "-subj", "/CN=a", *server, "-CA", "ca.crt", "-CAkey", "ca.key")
    return tmp_path


@pytest.fixture(name="tls_redis")
def _tls_redis(redis: RedisServer, certificates: Path) -> Iterator[RedisServer]:
    """A redis-server that speaks TLS on the port before its plain one."""
    del redis  # skips where there is none
    files = [f"--tls-{kind}-file {certificates / name}" for kind, name in (("cert", "a.crt"), ("key", "a.key"))]
    options = " ".join([*files, f"--tls-ca-cert-file {certificates / 'ca.crt'}", "--tls-auth-clients no"]).split()
    tls_port = free_port()
    with RedisServer("--tls-port", str(tls_port), *options) as server:
        server.tls_url = f"rediss://127.0.0.1:{tls_port}/0"  # type: ignore[attr-defined]
        yield server


async def test_over_tls(level: Any, tls_redis: Any, certificates: Path) -> None:
    assert await round_trip(level(tls_redis.tls_url, ca_file=str(certificates / "ca.crt"))) is not None


async def test_a_certificate_that_nobody_trusts_is_no_redis(level: Any, tls_redis: Any) -> None:
    process = level(tls_redis.tls_url)
    await process.open()
    assert await process.replies.get(KEY, Deadline.after(5)) is None
    assert process._metrics._errors.labels("read", "connection")._value.get() >= 1


async def test_under_an_acl(level: Any, redis: RedisServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    redis.command("ACL", "SETUSER", "qdts", *RULES)
    redis.command("ACL", "SETUSER", "default", "off")
    (tmp_path / "password").write_text("hunter2\n")
    process = level(username="qdts", password_file=str(tmp_path / "password"))
    assert await round_trip(process) is not None
    assert "hunter2" not in capfd.readouterr().err


async def test_a_wrong_password_is_no_redis_and_not_logged(
    level: Any, redis: RedisServer, capfd: pytest.CaptureFixture[str]
) -> None:
    redis.command("ACL", "SETUSER", "qdts", *RULES)
    process = level(username="qdts", password="hunter3")
    await process.open()
    for _ in range(6):
        assert await process.replies.get(KEY, Deadline.after(5)) is None
    assert process._metrics._errors.labels("read", "auth")._value.get() >= 5
    assert "hunter" not in capfd.readouterr().err


async def test_on_a_node_of_a_cluster(level: Any, redis: RedisServer) -> None:
    """No command names keys of two slots: a cluster would refuse it."""
    del redis
    # The node's bus has a port 10,000 above this one.
    port = next(port for port in iter(free_port, None) if port <= 55_535)
    with RedisServer("--cluster-enabled", "yes", port=port) as node:
        node.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        while b"cluster_state:ok" not in node.command("CLUSTER", "INFO"):
            pass
        process = level(node.url)
        assert await round_trip(process) is not None
        assert process._metrics._errors.labels("write", "refused")._value.get() == 0


async def test_a_server_without_redis_opens_all_the_same(level: Any, capfd: pytest.CaptureFixture[str]) -> None:
    process = level(f"redis://127.0.0.1:{free_port()}/0")
    await process.open()
    assert '"is_there": false' in capfd.readouterr().err
    assert await process.replies.get(KEY, Deadline.after(5)) is None


def test_without_a_secret_nothing_is_built(level: Any) -> None:
    with pytest.raises(ConfigError, match="redis.secret_file"):
        level("redis://127.0.0.1:1/0", secret="")
