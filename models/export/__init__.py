"""From a torch network to what serving loads: ONNX graphs and an embedding table, fp32 and int8.

to_onnx.py   T5 -> encoder, start and step graphs
quantize.py  fp32 graphs -> int8
release.py   export(model_dir, out_dir, precisions): both, for a model directory
"""
