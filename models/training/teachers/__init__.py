"""Teachers: who writes the summaries that a student learns from (sequence-level distillation, Kim & Rush 2016).

base.py       what a teacher is asked and answers
builtin.py    sentences that rankers propose, the best by the reward; needs no other model
candidates.py what they propose: sentences, neighbours, clauses
hf.py         a checkpoint directory that transformers can load
openai.py     an endpoint that speaks OpenAI's chat completions; endpoint.py: one call of it, with retries
prompts.py    how a row is put to a teacher that reads instructions
cache.py      what was answered before is not asked again
rows.py       which rows are asked, and what is written
grounding.py  free text mapped to what the document says, because the student copies

Stage `teach` (../teach.py) puts them together. Knows nothing of the student.
"""
