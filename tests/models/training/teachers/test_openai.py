"""The openai teacher against a real server on this machine that misbehaves in every way the code knows of."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from qdts.errors import ConfigError
from qdts.models.training.teachers.base import TeacherRow
from qdts.models.training.teachers.endpoint import Endpoint, EndpointConfig
from qdts.models.training.teachers.openai import OpenAiConfig, OpenAiTeacher
from qdts.models.training.teachers.prompts import PromptTemplate

KEY = "sk-very-secret-1234"
VARIABLE = "QDTS_TEST_KEY"
ROWS = [TeacherRow(query=f"Secret question {n}?", document=f"Secret document {n}.", title="T") for n in range(8)]
GOOD = {"choices": [{"message": {"content": "It is so. It was so."}, "finish_reason": "stop"}], "model": "m-1"}

# What one request is answered with: a status, headers, and a body (after a wait).
Answer = tuple[int, dict[str, str], bytes, float]


def good(reply: dict[str, Any] = GOOD) -> Answer:
    return 200, {}, json.dumps(reply).encode(), 0.0


class FakeServer(ThreadingHTTPServer):
    """Answers the n-th request with the n-th of `script`, and all after them with `GOOD`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Answer] = []
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.lock = threading.Lock()
        self.in_flight = 0
        self.most_in_flight = 0

    def handle_error(self, *_: Any) -> None:
        """A client that went away is part of the test."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            answer = server.script.pop(0) if server.script else good()
            server.requests.append((self.path, dict(self.headers), body))
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
        status, headers, data, wait_s = answer
        time.sleep(wait_s)
        with server.lock:
            server.in_flight -= 1
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FakeServer() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def waits() -> list[float]:
    return []


MakeTeacher = Callable[..., OpenAiTeacher]


@pytest.fixture
def make(server: FakeServer, waits: list[float]) -> MakeTeacher:
    """A teacher at the server that notes its waits instead of waiting."""

    def make_teacher(**endpoint: Any) -> OpenAiTeacher:
        settings: dict[str, Any] = {"url": server.url, "key_variable": VARIABLE, "timeout_s": 5.0, "max_retries": 2}
        config = OpenAiConfig(model="m", endpoint=EndpointConfig(**(settings | endpoint)), concurrency=3)
        return OpenAiTeacher(config, Endpoint(config.endpoint, sleep=waits.append))

    return make_teacher


def assert_says_nothing_secret(text: str) -> None:
    assert KEY not in text
    assert "Secret" not in text
    assert "/v1" not in text


def test_a_row_is_asked_and_answered(make: MakeTeacher, server: FakeServer) -> None:
    [output] = make().summarise(ROWS[:1])
    assert output.sentences == ("It is so.", "It was so.")
    assert (output.confidence, output.fault) == (1.0, "")
    assert output.provenance == {"finish": "stop", "model": "m-1"}
    [(path, headers, body)] = server.requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("m", 0.0, 128)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    for text in (ROWS[0].query, ROWS[0].document, "at most 35 words"):
        assert text in body["messages"][1]["content"]


def test_answers_come_in_the_rows_order_with_bounded_concurrency(make: MakeTeacher, server: FakeServer) -> None:
    server.script = [(200, {}, json.dumps(GOOD).encode(), 0.1) for _ in ROWS]
    outputs = make().summarise(ROWS)
    assert len(outputs) == len(ROWS)
    assert 2 <= server.most_in_flight <= 3


def test_confidence_is_the_tokens_geometric_mean_where_told(make: MakeTeacher, server: FakeServer) -> None:
    choice = GOOD["choices"][0] | {"logprobs": {"content": [{"logprob": -1.0}, {"logprob": -0.3862943611}]}}
    server.script = [good({"choices": [choice]})]
    assert make().summarise(ROWS[:1])[0].confidence == pytest.approx(0.5)


@pytest.mark.parametrize("retry_after", ["7", "7.5", "date"])
def test_retry_after_is_honoured(make: MakeTeacher, server: FakeServer, waits: list[float], retry_after: str) -> None:
    value = formatdate(time.time() + 9, usegmt=True) if retry_after == "date" else retry_after
    server.script = [(429, {"Retry-After": value}, b"slow down, " + KEY.encode(), 0.0)]
    [output] = make(backoff_s=0.01).summarise(ROWS[:1])
    assert not output.fault
    assert len(waits) == 1
    assert 7 <= waits[0] <= 9


def test_a_wait_beyond_the_bound_is_a_refusal(make: MakeTeacher, server: FakeServer, waits: list[float]) -> None:
    server.script = [(429, {"Retry-After": "3600"}, b"", 0.0)]
    [output] = make(max_wait_s=60.0).summarise(ROWS[:1])
    assert output.fault == f"Unavailable: {server.url[7:-3]} answered with status 429"
    assert waits == []


def test_waits_grow_between_retries(make: MakeTeacher, server: FakeServer, waits: list[float]) -> None:
    server.script = [(500, {}, b"", 0.0), (503, {"Retry-After": "soon"}, b"", 0.0)]
    [output] = make(backoff_s=1.0).summarise(ROWS[:1])
    assert not output.fault
    assert 0.5 <= waits[0] <= 1.0 <= waits[1] <= 2.0


MALFORMED = [b"", b"{", b"[]", b"<html>", b"\xff", b"[" * 5000]


@pytest.mark.parametrize(
    "answer", [(500, {}, KEY.encode(), 0.0), *((200, {}, body, 0.0) for body in MALFORMED)], ids=str
)
def test_what_never_gets_better_is_a_fault_after_all_retries(
    make: MakeTeacher, server: FakeServer, waits: list[float], answer: Answer
) -> None:
    server.script = [answer] * 3
    bad, fine = make().summarise(ROWS[:1]), make().summarise(ROWS[1:2])
    assert bad[0].fault.startswith(f"Unavailable: {server.url[7:-3]} answered with ")
    assert_says_nothing_secret(bad[0].fault)
    assert (bad[0].sentences, len(waits)) == ((), 2)
    assert not fine[0].fault


@pytest.mark.parametrize(
    "reply",
    [{}, {"choices": []}, {"choices": None}, {"choices": [3]}, {"choices": [{"message": {"content": None}}]}],
    ids=str,
)
def test_json_without_a_text_is_a_fault(make: MakeTeacher, server: FakeServer, reply: dict[str, Any]) -> None:
    server.script = [good(reply)]
    [output] = make().summarise(ROWS[:1])
    assert output.fault.startswith(f"Unavailable: {server.url[7:-3]} answered without a ")


def test_an_empty_text_is_an_answer_without_sentences(make: MakeTeacher, server: FakeServer) -> None:
    server.script = [good({"choices": [{"message": {"content": " \n- \n"}}]})]
    [output] = make().summarise(ROWS[:1])
    assert (output.sentences, output.confidence, output.fault) == ((), 0.0, "")


def test_slow_is_a_fault_that_names_the_host_alone(make: MakeTeacher, server: FakeServer) -> None:
    server.script = [(200, {}, b"{}", 1.0)] * 2
    [output] = make(timeout_s=0.1, max_retries=1).summarise(ROWS[:1])
    assert output.fault == f"DeadlineExceeded: {server.url[7:-3]} did not answer within 0.1 s"
    assert_says_nothing_secret(output.fault)


def test_nobody_there_is_a_fault_that_names_the_host_alone(make: MakeTeacher, server: FakeServer) -> None:
    teacher = make(max_retries=1)
    server.shutdown()
    server.server_close()
    [output] = teacher.summarise(ROWS[:1])
    assert output.fault == f"Unavailable: {server.url[7:-3]} cannot be reached: ConnectionRefusedError"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_row_is_not_asked_again_and_harms_no_other(
    make: MakeTeacher, server: FakeServer, waits: list[float], status: int
) -> None:
    server.script = [(status, {}, b"Secret " + KEY.encode(), 0.0)]
    outputs = make().summarise(ROWS)
    [fault] = [output.fault for output in outputs if output.fault]
    assert fault == f"Refused: {server.url[7:-3]} answered with status {status}"
    assert waits == []


@pytest.mark.parametrize("status", [401, 403, 404])
def test_settings_that_cannot_work_stop_everything(make: MakeTeacher, server: FakeServer, status: int) -> None:
    server.script = [(status, {}, KEY.encode(), 0.0)] * 8
    with pytest.raises(ConfigError, match=f"answered with status {status}: check url, model and key") as raised:
        make().summarise(ROWS)
    assert VARIABLE in str(raised.value)
    assert_says_nothing_secret(str(raised.value))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_with_the_key(make: MakeTeacher, server: FakeServer, status: int) -> None:
    server.script = [(status, {"Location": f"{server.url}/elsewhere"}, b"", 0.0)]
    with pytest.raises(ConfigError, match=f"redirects .status {status}"):
        make().summarise(ROWS[:1])
    assert len(server.requests) == 1


def test_the_key_is_read_from_its_variable_and_shown_nowhere(
    make: MakeTeacher, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = make()
    assert_says_nothing_secret(f"{teacher.name} {teacher.settings}".replace("/v1", ""))
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ConfigError, match=rf"environment variable {VARIABLE} .key_variable. is not set"):
        make()
    monkeypatch.setenv(VARIABLE, "two words\n")
    with pytest.raises(ConfigError, match="odd characters"):
        make()
    make(key_variable="").summarise(ROWS[:1])
    assert "Authorization" not in server.requests[-1][1]


def test_settings_hold_what_changes_an_answer_and_nothing_else(make: MakeTeacher, server: FakeServer) -> None:
    teacher = make()
    config = OpenAiConfig(model="m", endpoint=EndpointConfig(url=server.url, key_variable=VARIABLE))
    assert OpenAiTeacher(replace(config, concurrency=9)).settings == teacher.settings
    assert OpenAiTeacher(replace(config, prompt=PromptTemplate(max_words=9))).settings != teacher.settings
    assert OpenAiTeacher(replace(config, temperature=0.5)).settings != teacher.settings


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (EndpointConfig, {"url": "ftp://host/v1"}, "url must be http"),
        (EndpointConfig, {"url": "https://"}, "url must be http"),
        (EndpointConfig, {"url": "https://me:pw@host/v1"}, "url must not hold a user or a password"),
        (EndpointConfig, {"timeout_s": 0.0}, "timeout_s must be above 0, is 0.0"),
        (EndpointConfig, {"max_retries": -1}, r"max_retries must lie in \[0, 20\], is -1"),
        (OpenAiConfig, {"concurrency": 0}, r"concurrency must lie in \[1, 64\], is 0"),
        (OpenAiConfig, {"temperature": 3.0}, r"temperature must lie in \[0, 2\], is 3.0"),
        (OpenAiConfig, {"max_tokens": 0}, "max_tokens must be at least 1, is 0"),
        (PromptTemplate, {"text": "{query}"}, "text must use {document}"),
        (PromptTemplate, {"text": "{query} {document} {answer}"}, "{answer} is not one of"),
        (PromptTemplate, {"text": "{query} {document} {"}, "text is no template"),
        (PromptTemplate, {"max_words": 0}, "max_words must be at least 1, is 0"),
    ],
)
def test_bad_settings_are_named(kind: type, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        kind(**changes)
    assert "pw" not in str(raised.value)


def test_a_teacher_needs_a_model_and_an_endpoint() -> None:
    with pytest.raises(ConfigError, match="model of the openai teacher is missing"):
        OpenAiTeacher(OpenAiConfig())
    with pytest.raises(ConfigError, match="url of the endpoint is missing"):
        OpenAiTeacher(OpenAiConfig(model="m"))
