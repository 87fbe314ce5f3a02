"""Text and token ids in, text and token ids out: knows nothing of requests, gRPC or Redis.

text/        sentences, words, BM25, extractive summaries: plain Python, no model
nets/        the T5-shaped network and the interaction features (torch)
runtimes/    what executes a forward pass: eager (torch), onnx; base.py is the protocol
decoding/    greedy decoding that accepts drafted tokens; the copy constraint
export/      torch -> ONNX -> int8
training/    data, loop, checkpoints
evaluation/  splits, metrics, baselines, report
weights/     released models, each with a manifest
"""
