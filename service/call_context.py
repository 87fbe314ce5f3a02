"""What our handlers see of a call: the time left, who pays, where to write. Waits for no reader for ever."""

import asyncio
from typing import Any, cast

import grpc

from qdts.service import logs


class CallContext:
    """gRPC's context, with a bound in time on each write.

    A caller that opens a call without a deadline and then does not read would otherwise keep a place here as
    long as its connection lasts.
    """

    def __init__(
        self, context: grpc.aio.ServicerContext[Any, Any], *, write_timeout_s: float, tenant: str = ""
    ) -> None:
        self._context = context
        self.tenant = tenant  # whose quota pays
        self._write_timeout_s = write_timeout_s

    def time_remaining(self) -> float | None:
        """Seconds to the caller's deadline, None if it set none."""
        return cast("float | None", self._context.time_remaining())

    async def write(self, message: Any) -> None:
        """Send a message; where it is not taken in time the call ends, as if it had been cancelled."""
        try:
            async with asyncio.timeout(self._write_timeout_s):
                await self._context.write(message)
        except TimeoutError as error:
            logs.warning("slow_reader")
            raise asyncio.CancelledError from error
        except grpc.aio.InternalError as error:  # gRPC's word for a caller that has just gone
            raise asyncio.CancelledError from error
