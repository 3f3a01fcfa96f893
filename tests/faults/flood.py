"""A flood of clients for one port, all at once. Some say nothing, some are slow with their headers, some with their bodies;
who is refused keeps its end open all the same for some seconds, and comes back.

    python3 flood.py PORT CLIENTS NET      from addresses 127.NET.0.1 to 127.NET.0.250, so that it is not one who floods
"""
import asyncio
import random
import resource
import socket
import sys

BEGINNINGS = (
    b"",
    b"GET /api/v1/runs HTTP/1.1\r\nHost: loc",
    b"POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n{",
)


async def drip(end, beginning):
    """Until an answer comes, or the end of the connection."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(end, beginning)
    while True:
        try:
            await asyncio.wait_for(loop.sock_recv(end, 4096), 1)
            return
        except asyncio.TimeoutError:
            await loop.sock_sendall(end, b"x" if beginning else b"")


async def attack(number, port, net):
    while True:
        with socket.socket() as end:
            end.setblocking(False)
            try:
                end.bind((f"127.{net}.0.{1 + number % 250}", 0))
                await asyncio.get_running_loop().sock_connect(end, ("127.0.0.1", port))
                await drip(end, BEGINNINGS[number % len(BEGINNINGS)])
            except OSError:
                pass  # refused, or reset
            await asyncio.sleep(random.uniform(10, 30))


async def flood(port, clients, net):
    await asyncio.gather(*(attack(number, port, net) for number in range(clients)))


if __name__ == "__main__":
    wanted = int(sys.argv[2]) + 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    asyncio.run(flood(*map(int, sys.argv[1:])))
