"""The other end of tests/deflate_interop.rs: Python's websockets, which echoes what it receives.

`peer.py server` prints its port, and serves until its input ends; `peer.py client PORT` connects once for
each line of input. The parameters of permessage-deflate are the query: in the path of a request, or as the
line. Either prints the code of each close.
"""

import asyncio
import sys
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)


def extensions(factory, query):
    given = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
    if "off" in given:
        return None
    params = {name: name in given for name in ("server_no_context_takeover", "client_no_context_takeover")}
    for name in ("server_max_window_bits", "client_max_window_bits"):
        if name in given:
            # Without a value: not to be spoken of.
            params[name] = int(given[name]) if given[name] else None
    return [factory(**params)]


async def echo(websocket):
    count = 0
    async for message in websocket:
        count += 1
        is_text = isinstance(message, str)
        if count % 5 == 0:
            # Cut in the middle, also of a character.
            data = message.encode() if is_text else message
            await websocket.send([data[: len(data) // 2], data[len(data) // 2 :]], text=is_text)
        else:
            await websocket.send(message)
    print(websocket.close_code, flush=True)


def choose_extensions(websocket, request):
    query = urlsplit(request.path).query
    websocket.protocol.available_extensions = extensions(ServerPerMessageDeflateFactory, query)


async def serve_all():
    server = serve(echo, "127.0.0.1", 0, compression=None, max_size=None, process_request=choose_extensions)
    async with server as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def call(url, query):
    offers = extensions(ClientPerMessageDeflateFactory, query)
    async with connect(url, extensions=offers, compression=None, max_size=None, proxy=None) as websocket:
        await echo(websocket)


if sys.argv[1] == "server":
    asyncio.run(serve_all())
else:
    for line in sys.stdin:
        asyncio.run(call(f"ws://127.0.0.1:{sys.argv[2]}/", line.strip()))
