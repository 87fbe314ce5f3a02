#!/bin/sh
# Regenerate the committed stubs in qdts/v1 from proto/qdts/v1. Run it from anywhere; PYTHON picks the interpreter.
set -eu
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-python3}"
# google/rpc/*.proto are shipped, as sources, by googleapis-common-protos; google/protobuf/*.proto by grpcio-tools.
GOOGLEAPIS="$("$PYTHON" -c 'import google.rpc.status_pb2 as m, pathlib; print(pathlib.Path(m.__file__).parents[2])')"
"$PYTHON" -m grpc_tools.protoc -I proto -I "$GOOGLEAPIS" \
  --python_out=. --pyi_out=. --grpc_python_out=. \
  qdts/v1/summarization.proto qdts/v1/admin.proto
