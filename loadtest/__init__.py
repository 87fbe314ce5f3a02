"""Everything that measures; knows the service and the models, and nothing knows it.

report.py          the conventions every measurement keeps: --quick, --json, machine facts, results/*.json
bench_startup.py   what an installation weighs, how fast a server is ready, how much memory it holds
bench_formats.py   quality, size and time of each number format of one model
bench_load.py      health, the ends of calls, and memory while many requests run
faults.py          what calls get, and when, while Redis breaks: redis_server.py, fault_proxy.py, counting_model.py
bench_decoding.py  what drafts save, by runtime and batch size: decoding/
bench_roofline.py  how near a request is to what the CPU can do: roofline/
bench_ablation.py  which shape, objective and aids, at small scale: ablation/
bench_peers.py     other engines on the same weights, documents and threads: peers/
results/           the last full run of each script, as JSON
"""
