"""When Python looks for garbage in cycles: never through what is there for good, and seldom through all the rest.

A full collection stops all threads for as long as it takes to visit every object: 20 ms with a model loaded, 160 with a
full cache. Reference counts free nearly everything here; cycles are few, and most die young.
"""

import gc

# Young objects are looked through as often as by default, old ones three times as seldom (and by CPython's own rule
# only when they have become a quarter more).
THRESHOLDS = (700, 10, 30)


def settle() -> None:
    """What has been loaded stays: leave it out of collections from now on. For processes that serve, when ready."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
