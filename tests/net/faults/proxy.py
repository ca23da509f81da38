#!/usr/bin/env python3
"""A TCP proxy that is slow on demand.

  proxy.py LISTEN_HOST:PORT TARGET_HOST:PORT

Each line of its input is JSON and replaces the settings: delay and jitter in seconds, bytes_per_second (0 or
absent: no limit). They hold for both directions, in order, for what is read from then on. It ends with its
input.
"""
import asyncio
import json
import random
import sys
import time

settings = {}


async def pass_on(reader, writer):
    """Bytes leave in their order, each piece no earlier than its delay, and no faster than the rate."""
    pieces = asyncio.Queue(maxsize=64)  # a slow link holds its sender back

    async def take():
        while data := await reader.read(16384):
            delay = settings.get("delay", 0) + random.uniform(0, settings.get("jitter", 0))
            await pieces.put((time.monotonic() + delay, data))
        await pieces.put((0, b""))

    taker = asyncio.ensure_future(take())
    try:
        while True:
            due, data = await pieces.get()
            if not data:
                break
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            writer.write(data)
            await writer.drain()
            if rate := settings.get("bytes_per_second"):
                await asyncio.sleep(len(data) / rate)
            if taker.done() and taker.exception():
                break
    finally:
        taker.cancel()
        writer.close()


async def serve(host, port, target):
    async def connected(reader, writer):
        try:
            target_reader, target_writer = await asyncio.open_connection(*target)
        except OSError:
            writer.close()
            return
        ways = [asyncio.ensure_future(pass_on(reader, target_writer)),
                asyncio.ensure_future(pass_on(target_reader, writer))]
        # The end of one way ends the other: what is on its way is lost, as with a cut connection.
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)

    server = await asyncio.start_server(connected, host, port)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with server:
        while line := await lines.readline():
            settings.clear()
            settings.update(json.loads(line))


def address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    asyncio.run(serve(*address(sys.argv[1]), address(sys.argv[2])))
