"""The same requests through this project's runtimes and through other engines, on the same weights.

base.py        what is asked, what answers, and how a system is described
systems.py     which systems there are, and which are absent here
requests.py    rows to requests as long as the encoder reads, one by one and in batches
nets.py        the weights, for all of them: the model's own, random ones of full size, the decoder-only shape
writing.py     freely, or under the copy constraint: how a peer's tokens are chosen
interaction.py the features that the peers' graphs lack
graphs.py      plain ONNX graphs in the layout that optimum exports, fp32 and dynamic int8
ours.py        this project's runtimes, with drafts and without
hugging_face.py, ctranslate.py, open_vino.py, plain_onnx.py, llama.py    the peers; ptq.py: OpenVINO's full int8
ways.py        how an engine does a batch
worker.py      a process for each system
turns.py       document by document, then batch by batch, each system in turn
figures.py     medians of ratios, and what is reported; plot.py draws it
"""
