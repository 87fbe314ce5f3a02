"""The T5-shaped network and a decoder-only one (torch). Tensors in, tensors out: no files, no text, no decoding loop.

config.py       T5Config, read from and written to a Hugging Face config.json
flops.py        floating-point operations of a forward pass, peaks of devices
layers.py       RMSNorm, feed-forward, relative position bias, attention
interaction.py  query-document features added to the encoder's output
t5.py           Encoder, Decoder, T5
decoder_only.py the seed's GPT-2 shape, the baseline to beat
request_cost.py FLOPs and bytes of one request
"""
