"""What tests of more than one layer need: certificates of a CA made for the tests, and no pauses for garbage.

A full collection in a process that has imported everything stops it for a third of a second, which no deadline of a
test allows for.
"""

import gc
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_pair(folder: Path, name: str, ca: Path) -> None:
    """`name`.key and `name`.pem, signed by the CA, good for localhost."""
    key, request, certificate = (folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
    names = folder / "names"
    names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", *curve, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
    signer = ("-CA", ca.with_suffix(".pem"), "-CAkey", ca.with_suffix(".key"), "-CAcreateserial")
    openssl("x509", "-req", "-in", request, *signer, "-out", certificate, "-days", "2", "-extfile", names)


@pytest.fixture(autouse=True, scope="module")
def _nothing_old_is_collected() -> None:
    """What earlier modules left is not looked through again."""
    gc.freeze()


@pytest.fixture(name="quick_interpreter", scope="session")
def _quick_interpreter() -> None:
    """Triton's interpreter, which replaces the language anew whenever a device function is called.

    Within a kernel that has been done already, and what Triton's own functions see of it stays: once for each of them
    is enough, and takes a third less time. Only for tests that have chosen the interpreter.
    """
    from triton.runtime import interpreter

    device_function: Any = interpreter.InterpretedFunction
    whole: Callable[..., Any] = device_function.__call__
    called: set[object] = set()

    def call(function: Any, *args: Any, **kwargs: Any) -> Any:
        if function.fn in called:
            return function.rewrite()(*args, **kwargs)
        called.add(function.fn)
        return whole(function, *args, **kwargs)

    device_function.__call__ = call


@pytest.fixture(name="pki", scope="session")
def _pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca, other (a CA that nobody trusts), one, two, client and stranger."""
    if shutil.which("openssl") is None:
        pytest.skip("makes its certificates with openssl")
    folder = tmp_path_factory.mktemp("pki")
    for ca in ("ca", "other"):
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        key, certificate = folder / f"{ca}.key", folder / f"{ca}.pem"
        openssl("req", "-x509", *curve, "-keyout", key, "-out", certificate, "-days", "2", "-subj", f"/CN={ca}")
    for name in ("one", "two", "client"):
        make_pair(folder, name, folder / "ca")
    make_pair(folder, "stranger", folder / "other")
    return folder
