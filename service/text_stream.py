"""Text that grows, handed from the one who writes it to one who reads it. Knows nothing of gRPC.

A slow reader misses versions, never text: what it gets next holds all that was written meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator


class TextStream:
    """update() with the whole text so far, any number of times, then close(); one event loop's."""

    def __init__(self) -> None:
        self._text = ""
        self._given = ""
        self._is_closed = False
        self._changed = asyncio.Event()

    def update(self, text: str) -> None:
        """The text so far."""
        self._text = text
        self._changed.set()

    def close(self) -> None:
        """Nothing will follow."""
        self._is_closed = True
        self._changed.set()

    async def pieces(self) -> AsyncIterator[str]:
        """What to append to what was given before. A text that was rewritten is not continued."""
        while not self._is_closed:
            await self._changed.wait()
            self._changed.clear()
            if piece := self.rest(self._text):
                yield piece

    def rest(self, text: str) -> str:
        """What is missing of `text`, now given; "" if it does not begin with what was given before."""
        if not text.startswith(self._given):
            return ""
        piece = text[len(self._given) :]
        self._given = text
        return piece
