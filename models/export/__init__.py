"""From a torch network to what serving loads: ONNX graphs and an embedding table, fp32 and int8.

to_onnx.py      T5 -> encoder, start and step graphs, fp32; trace.py: what the exporter is told of each
layers.py       what of a graph is quantised, and what each layer is called
calibration.py  what flows into each layer on real prompts
clips.py        integers for a weight, clipped where the output's error is least
int8.py         the graphs for CPUs: 7- or 8-bit weights, 8-bit activations per token
quantize.py     the stage quantize: all of the above; sqnr.py: how well each layer came through
explicit.py     QDQ graphs, INT8 and FP8, for engines that are built elsewhere; scales.py: their activations' scales
engines.py      the stage engines: TensorRT plans; builder.py: one of them; half.py: graphs that multiply in 16 bits
release.py      the stages export and release; config.py: all stages' settings
"""
