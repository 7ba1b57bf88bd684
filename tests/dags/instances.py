"""Instances that are served by another thread: a DAG's test run, or the test itself, takes this one."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager

from tests.collection.instances import serving


@contextmanager
def served(*instances: tuple):
    """An instance for each tuple of answers; see `serving`."""
    started = Future()

    async def serve():
        stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            running = [await stack.enter_async_context(serving(*answers)) for answers in instances]
            started.set_result((running, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    running, loop, stop = started.result(30)
    try:
        yield running
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
