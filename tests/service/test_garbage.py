"""What was there when a server got ready is not looked through again; cycles made later are still freed."""

import gc
import subprocess
import sys

PROGRAM = """
import gc, weakref
from qdts.service import garbage

class Node:
    pass

kept = [Node() for _ in range(1000)]
garbage.settle()
seen = {id(one) for one in gc.get_objects()}
assert not seen & {id(one) for one in kept}, "a full collection would visit what stays"
assert gc.isenabled() and gc.get_freeze_count() >= 1000

one = Node()
one.self = one
gone = weakref.ref(one)
del one
gc.collect()
assert gone() is None, "a cycle made later is still found"

made = []
for _ in range(200_000):
    node = Node()
    node.self = node
    made.append(weakref.ref(node))
    del node
assert sum(ref() is not None for ref in made) < 100_000, "and without being asked for"
"""


def test_only_what_is_new_is_looked_through() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)


def test_importing_it_changes_nothing() -> None:
    """Tests and callers of the library keep their own collector."""
    assert gc.get_threshold()[2] <= 10
