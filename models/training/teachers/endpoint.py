"""One call of an HTTP endpoint that takes and gives JSON: a deadline, retries, and no word of what was said.

Errors name the endpoint's host and a status, never a key, a path or a text. Retried are 408, 429, 5xx, broken
connections, time-outs and replies that are not JSON; the wait doubles from `backoff_s`, with jitter, and is never
shorter than the endpoint's Retry-After (RFC 9110, section 10.2.3). Redirects are refused: they would carry the key
elsewhere. Thread-safe; knows nothing of chat or summaries.
"""

import http.client
import json
import os
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import urlsplit

from qdts.errors import ConfigError, DeadlineExceeded, QdtsError, Refused, Unavailable

_RETRIED = frozenset({408, 429, 500, 502, 503, 504, 529})
# The caller's settings are wrong: no row will fare better.
_SETTINGS = frozenset({401, 403, 404})
_MAX_REPLY_BYTES = 8 << 20
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    """Where, and how patiently. `key_variable` names the environment variable with the API key, "" for none."""

    url: str = ""
    key_variable: str = "OPENAI_API_KEY"
    timeout_s: float = 60.0
    max_retries: int = 5
    backoff_s: float = 1.0
    # An endpoint that asks for a longer wait is taken as refusing.
    max_wait_s: float = 120.0

    def __post_init__(self) -> None:
        _check_url(self.url)
        for name in ("timeout_s", "backoff_s", "max_wait_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, is {getattr(self, name)}")
        if not 0 <= self.max_retries <= 20:
            raise ValueError(f"max_retries must lie in [0, 20], is {self.max_retries}")


def _check_url(url: str) -> None:
    """ "" is an endpoint not yet named. The message never repeats the URL: it may hold a password."""
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("url must be http(s)://HOST...")
    if parts.username or parts.password:
        raise ValueError("url must not hold a user or a password: name the key's variable in key_variable")


class _Retryable(Exception):
    """Try again, at the earliest in `wait_s`; `fault` is what to raise in the end."""

    def __init__(self, fault: QdtsError, wait_s: float = 0.0) -> None:
        super().__init__()
        self.fault = fault
        self.wait_s = wait_s


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Endpoint:
    """Posts JSON to paths below one URL."""

    def __init__(self, config: EndpointConfig, *, sleep: Callable[[float], None] = time.sleep) -> None:
        if not config.url:
            raise ConfigError("url of the endpoint is missing")
        self._config = config
        self._key = _read_key(config.key_variable)
        self._sleep = sleep
        self._opener = urllib.request.build_opener(_NoRedirect())
        self.host = urlsplit(config.url).netloc

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """The reply's JSON object. Raises DeadlineExceeded, Unavailable or Refused for this request, ConfigError
        where every request would fail.
        """
        data = json.dumps(body).encode()
        for attempt in range(self._config.max_retries + 1):
            try:
                return self._post_once(path, data)
            except _Retryable as retryable:
                if attempt == self._config.max_retries or retryable.wait_s > self._config.max_wait_s:
                    raise retryable.fault from retryable.__cause__
                self._sleep(max(retryable.wait_s, self._backoff(attempt)))
        raise AssertionError("the last attempt raises")

    def _backoff(self, attempt: int) -> float:
        longest = min(self._config.max_wait_s, self._config.backoff_s * 2**attempt)
        return longest * random.uniform(0.5, 1.0)

    def _post_once(self, path: str, data: bytes) -> dict[str, Any]:
        try:
            reply = self._read(self._request(path, data))
        except urllib.error.HTTPError as error:
            with error:
                raise self._of_status(error.code, error.headers.get("Retry-After")) from None
        except TimeoutError:
            raise _Retryable(self._timed_out()) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            fault = self._timed_out() if isinstance(reason, TimeoutError) else self._broken(type(reason).__name__)
            raise _Retryable(fault) from None
        return self._parse(reply)

    def _request(self, path: str, data: bytes) -> urllib.request.Request:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return urllib.request.Request(self._config.url.rstrip("/") + path, data=data, headers=headers, method="POST")

    def _read(self, request: urllib.request.Request) -> bytes:
        """The reply's body. urllib bounds each wait; an endpoint that drips is bounded here."""
        deadline = time.monotonic() + self._config.timeout_s
        parts: list[bytes] = []
        with self._opener.open(request, timeout=self._config.timeout_s) as response:
            while part := cast(bytes, response.read1(_CHUNK_BYTES)):
                parts.append(part)
                if time.monotonic() > deadline:
                    raise TimeoutError
                if sum(map(len, parts)) > _MAX_REPLY_BYTES:
                    raise Refused(f"{self.host} answered with more than {_MAX_REPLY_BYTES} bytes")
        return b"".join(parts)

    def _parse(self, reply: bytes) -> dict[str, Any]:
        try:
            fields = json.loads(reply)
        except (ValueError, RecursionError):
            raise _Retryable(Unavailable(f"{self.host} answered with something that is not JSON")) from None
        if not isinstance(fields, dict):
            raise _Retryable(Unavailable(f"{self.host} answered with JSON that is no object"))
        return cast("dict[str, Any]", fields)

    def _of_status(self, status: int, retry_after: str | None) -> Exception:
        if status in _RETRIED:
            return _Retryable(Unavailable(f"{self.host} answered with status {status}"), _seconds(retry_after))
        if status in _SETTINGS:
            hint = f"; the key is read from {self._config.key_variable}" if self._config.key_variable else ""
            return ConfigError(f"{self.host} answered with status {status}: check url, model and key{hint}")
        if 300 <= status < 400:
            return ConfigError(f"{self.host} redirects (status {status}), which is not followed: give its final url")
        return Refused(f"{self.host} answered with status {status}")

    def _timed_out(self) -> QdtsError:
        return DeadlineExceeded(f"{self.host} did not answer within {self._config.timeout_s:g} s")

    def _broken(self, kind: str) -> QdtsError:
        return Unavailable(f"{self.host} cannot be reached: {kind}")


def _read_key(variable: str) -> str:
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(f"environment variable {variable} (key_variable) is not set")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"environment variable {variable} (key_variable) holds no key: it has odd characters")
    return key


def _seconds(retry_after: str | None) -> float:
    """What Retry-After asks for: a number of seconds or a date; 0 where it asks nothing that can be read."""
    if not retry_after:
        return 0.0
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
