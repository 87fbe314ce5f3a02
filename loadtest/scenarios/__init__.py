"""Loads with a story, one TOML file each: what arrives when, what breaks meanwhile, and what must hold.

config.py   reads them        run.py   runs one against a server
bars.py     what must hold    suite.py   runs one, or all in turn, on servers of their own
faults.py   what can break    health.py   asks for the server's health all the while

steady, step, spike, bursts, sine, ten_fold, priority_storm, cache_cold, redis_down, redis_silent, slow_client
"""
