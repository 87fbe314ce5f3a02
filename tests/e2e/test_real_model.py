"""The shipped model behind the real server process, over real gRPC: nothing in between is a fake."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from qdts.errors import WeightsCorrupt
from qdts.models.manifest import Description, write
from qdts.models.shipped import find_model
from qdts.models.summarizer import Summarizer
from qdts.v1 import summarization_pb2 as pb
from qdts.v1 import summarization_pb2_grpc as pb_grpc

SERVICE = "qdts.v1.SummarizationService"
BYPASS = pb.SummarizeOptions(tier=pb.TIER_GENERATIVE, cache_policy=pb.CACHE_POLICY_BYPASS)
# Stands in the document below and must stand in no log line.
SECRET = "Quetzalcoatlus"
DOCUMENT = (
    "Pterosaurs flew over the lakes of the late Cretaceous.\n\nThe largest of them, "
    f"{SECRET}, had a wingspan of ten metres 🦴 and stood as tall as a giraffe. "
    "Its fossils were found in Texas in 1971 by a student, Douglas Lawson. "
    "What it ate is still disputed: some say carrion, others small dinosaurs."
)
QUERY = f"How large was the wingspan of {SECRET}?"


@dataclass
class Server:
    """`qdts serve` as a process; what it logs is read as it comes."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    reader: Thread = field(init=False)

    def __post_init__(self) -> None:
        self.reader = Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            self.lines.extend(iter(stderr.readline, ""))

    def end(self, number: int = 0) -> int:
        """Send a signal, 0 for none, and wait for the exit status; all lines have been read then."""
        self.process.send_signal(number)
        try:
            return self.process.wait(timeout=60)
        finally:
            self.process.kill()
            self.reader.join()

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def wait_for(self, name: str, **fields: object) -> dict[str, Any]:
        """The first event of that name with those fields."""
        ends_at = time.monotonic() + 60
        while time.monotonic() < ends_at:
            for event in self.events(name):
                if fields.items() <= event.items():
                    return event
            assert self.process.poll() is None, "".join(self.lines)
            time.sleep(0.01)
        raise AssertionError(f"no event {name} with {fields}")


def spawn(model: Path) -> Server:
    env = {"SERVER__PORT": 0, "SERVER__DRAIN_DELAY_S": 0, "METRICS__ENABLED": "false"}
    process = subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "qdts.service.cli",
            "serve",
            "--model",
            str(model),
            "--set",
            "engine.auto=generative",
        ],
        env=os.environ | {f"QDTS_{name}": str(value) for name, value in env.items()},
        stderr=subprocess.PIPE,
        text=True,
    )
    return Server(process)


def shipped() -> Path:
    model = find_model("")
    assert model is not None, "no model ships in models/weights"
    return model


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[Server]:
    server = spawn(shipped())
    try:
        server.wait_for("ready")
        yield server
    finally:
        status = server.end(signal.SIGTERM)
    assert status == 0
    assert SECRET.lower() not in "".join(server.lines).lower()


@pytest.fixture(name="channel", scope="module")
def _channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.wait_for('ready')['port']}") as channel:
        yield channel


@pytest.fixture(name="stub")
def _stub(channel: grpc.Channel) -> Any:
    return pb_grpc.SummarizationServiceStub(channel)


def ask(query: str = QUERY, text: str = DOCUMENT, **fields: Any) -> pb.SummarizeRequest:
    document = pb.Document(text=text, language_code="en")
    return pb.SummarizeRequest(query=query, document=document, options=BYPASS, **fields)


def quoted(reply: pb.SummarizeResponse, text: str) -> list[str]:
    """What the document says where the reply's sentences come from, on one line each."""
    spans = [sentence.source_span for sentence in reply.sentences]
    return [" ".join(text[span.start : span.end].split()) for span in spans]


def test_the_model_writes_a_summary_that_the_document_says(stub: Any) -> None:
    reply = stub.Summarize(ask(), timeout=20)
    assert (reply.rung, list(reply.degrade_reasons)) == (pb.RUNG_FULL, [])
    assert reply.model_version.startswith(f"{shipped().name}@")
    assert reply.coverage == 1.0
    assert reply.tokens.output_tokens > 1 and reply.tokens.decode_steps >= 1
    assert [sentence.text for sentence in reply.sentences] == quoted(reply, DOCUMENT)
    assert " ".join(quoted(reply, DOCUMENT)) == reply.summary
    assert "wingspan of ten metres" in reply.summary


def test_stream_adds_up_to_the_unary_reply(stub: Any) -> None:
    unary = stub.Summarize(ask(request_id="same"), timeout=20)
    request = pb.StreamSummarizeRequest(request=ask(request_id="same"))
    *pieces, last = stub.StreamSummarize(request, timeout=20)
    assert pieces and "".join(piece.text_delta for piece in pieces) == unary.summary
    for reply in (unary, last.response):
        reply.ClearField("timings")
    assert last.response == unary


def test_long_document_is_read_in_part_and_quoted_in_place(stub: Any) -> None:
    filler = "Nothing of interest to anybody is said in this sentence at all. " * 500
    text = filler + DOCUMENT + "\n" + filler
    reply = stub.Summarize(ask(text=text), timeout=20)
    assert reply.rung == pb.RUNG_FULL
    assert 0 < reply.coverage < 0.2
    assert [sentence.text for sentence in reply.sentences] == quoted(reply, text)


@pytest.mark.parametrize("text", ["x" * 100_000, "长城的长度超过两万公里。" * 9, "🐧", "\u202eשלום\u200b עולם. " * 9])
def test_odd_documents_are_quoted_too(stub: Any, text: str) -> None:
    reply = stub.Summarize(ask(text=text), timeout=20)
    assert reply.rung == pb.RUNG_FULL
    assert [sentence.text for sentence in reply.sentences] == quoted(reply, text)


def test_cancelled_call_leaves_the_others_alone(server: Server, stub: Any) -> None:
    calls = [stub.Summarize.future(ask(f"{QUERY} {i}", request_id=f"c{i}"), timeout=20) for i in range(8)]
    for call in calls[::2]:
        call.cancel()
    for call in calls[1::2]:
        assert call.result().summary
    for i in range(0, 8, 2):
        with pytest.raises(grpc.FutureCancelledError):
            calls[i].result()
    assert not server.events("generation_failed")
    assert stub.Summarize(ask(), timeout=20).rung == pb.RUNG_FULL


@pytest.mark.parametrize("timeout", [-1, 0.001, 0.05])
def test_deadline_is_kept(stub: Any, timeout: float) -> None:
    started_at = time.monotonic()
    try:
        reply = stub.Summarize(ask(), timeout=timeout)
        assert [sentence.text for sentence in reply.sentences] == quoted(reply, DOCUMENT)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
    assert time.monotonic() - started_at < 1


def test_client_that_knows_only_reflection(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert SERVICE in database.get_services()
    pool = descriptor_pool.DescriptorPool(database)
    method = pool.FindServiceByName(SERVICE).FindMethodByName("Summarize")
    request_class = message_factory.GetMessageClass(method.input_type)
    reply_class = message_factory.GetMessageClass(method.output_type)
    call = channel.unary_unary(
        f"/{SERVICE}/{method.name}",
        request_serializer=request_class.SerializeToString,
        response_deserializer=reply_class.FromString,
    )
    reply: Any = call(request_class(query=QUERY, document={"text": DOCUMENT}), timeout=20)
    assert reply.model_version.startswith(f"{shipped().name}@")


def test_health_and_info_while_calls_run(channel: grpc.Channel, stub: Any) -> None:
    checks: Any = health_pb2_grpc.HealthStub(channel)
    calls = [stub.Summarize.future(ask(f"{QUERY} {i}"), timeout=20) for i in range(20)]
    num_checks = 0
    while not all(call.done() for call in calls):
        check = checks.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=5)
        assert check.status == health_pb2.HealthCheckResponse.SERVING
        num_checks += 1
    assert num_checks > 0
    assert all(call.result().summary for call in calls)
    info = stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=5)
    assert info.ready and info.model.runtime == "onnx"


def test_one_changed_bit_is_refused_at_start(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(shipped(), model)
    graph = next(model.rglob("step.onnx"))
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    server = spawn(model)
    assert server.end() == 2
    message = "".join(server.lines)
    assert "step.onnx" in message and "sha256" in message


def test_graphs_swapped_before_the_manifest_was_written_are_refused(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(shipped(), model)
    graph = next(model.rglob("step.onnx"))
    shutil.copy(graph.with_name("start.onnx"), graph)
    write(model, Description(name="swapped", version="0", licence="Apache-2.0"))
    with pytest.raises(WeightsCorrupt, match=str(model)):
        Summarizer.load(model)
