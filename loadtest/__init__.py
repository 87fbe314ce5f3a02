"""Everything that measures; knows the service and the models, and nothing knows it.

report.py          the conventions every measurement keeps: --quick, --json, machine facts, results/*.json
bench_hop.py       what it costs a call that its engine is another process
bench_startup.py   what an installation weighs, how fast a server is ready, how much memory it holds
bench_formats.py   quality, size and time of each number format of one model
bench_front.py     what a front can take and what it adds, with an engine that takes no time: closed_loop.py
overload.py        goodput, latency, rejections, recovery and health at up to ten times the capacity, with bars:
                   overload_bars.py
soak.py            what stays behind after minutes of load and ten thousand callers who left; soak_plot.py
locustfile.py      the same load from Locust, the extra `load`: locust_source.py, locust_reporting.py, locust_shapes.py,
                   locust_verdict.py
bench_serving.py   a whole server at rising rates: requests/s at which an SLO is kept
bench_batching.py  what engine.max_batch above 1 brings under load
scenarios/         loads with a story: one TOML file each
simulation/        a server whose model's times are known, and a journal of its steps
faults.py          what calls get, and when, while Redis breaks or processes end, with bars: fault_bars.py;
                   fault_trial.py, one fault of Redis from before to after; fault_load.py, the calls; redis_share.py,
                   what it took of each; redis_faults.py, redis_server.py, fault_proxy.py, what breaks;
                   process_trial.py, process_faults.py, the same where processes are killed, renewed, restarted;
                   shared_misses.py, what many want at once; counting_model.py, counting_server.py
fuzz.py            requests that nobody should send, to both ports: fuzzing/
bench_decoding.py  what drafts save, by runtime and batch size: decoding/
bench_roofline.py  how near a request is to what the CPU can do: roofline/
bench_ablation.py  which shape, objective and aids, at small scale: ablation/
bench_peers.py     other engines on the same weights, documents and threads: peers/
results/           the last full run of each script, as JSON
"""
