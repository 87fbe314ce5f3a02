"""The cache that processes share, in Redis: optional, and never a reason for a call to fail or be late.

config.py        address, credentials, bounds
client.py        every call within its budget, behind a breaker.py; commands.py is what it asks of redis-py
seal.py          values that were not changed and are no others: checksums under a key
reply_codec.py   entries <-> bytes; states_codec.py, document states <-> bytes
replies.py       the shared reply cache and the lease that makes one process at a time make a reply
states.py        document states that other processes have read
level.py         builds all of it
"""
