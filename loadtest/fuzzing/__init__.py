"""Requests that nobody should send, and what a server does with them.

mutations.py    the requests                       findings.py     floods of them, and how they ended
handlers.py     sent to the handlers themselves    wire.py         over gRPC, to a server with a model
connections.py  as broken HTTP/2                   operators.py    to the operators' port, with a token and without
"""
