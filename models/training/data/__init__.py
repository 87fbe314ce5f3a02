"""From files to training examples: `qdts train prepare`. Needs the [train] extra for .zst files.

config       what a data set is prepared from
prepare      the whole way, in worker processes
rows         one training row; reading   JSONL files and their bad rows; corpus   raw prose on disk
chunks       sources as a stream of units of work
collecting   a chunk's clean rows; cleaning   texts; filters   rows not worth training on
minhash      near-duplicate texts; duplicates   rows that say nothing new
pages        headings and sentences of prose; windows, queries, cloze, weak   rows made from them
leads        lead bias; neighbours   close documents without the answer; variants   negatives, joined documents
building     examples of the rows kept; tally   what became of every row; pool   ordered work in processes
"""
