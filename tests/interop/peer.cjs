// The other end of tests/deflate_interop.rs: Node's ws, which echoes what it receives.
//
// `peer.cjs server` prints its port, and serves until its input ends; `peer.cjs client PORT` connects once
// for each line of input. The parameters of permessage-deflate are the query: in the path of a request, or
// as the line. Either prints the code of each close.

'use strict';

const http = require('node:http');
const readline = require('node:readline');
const { WebSocket, WebSocketServer } = require('ws');

function deflate(query) {
  const given = new URLSearchParams(query);
  if (given.has('off')) {
    return false;
  }
  const bits = (name) => {
    // Without a value: not to be spoken of.
    return given.has(name) ? Number(given.get(name)) || false : undefined;
  };
  return {
    serverNoContextTakeover: given.has('server_no_context_takeover') || undefined,
    clientNoContextTakeover: given.has('client_no_context_takeover') || undefined,
    serverMaxWindowBits: bits('server_max_window_bits'),
    clientMaxWindowBits: bits('client_max_window_bits'),
    threshold: 0,
  };
}

function echo(socket) {
  let count = 0;
  socket.on('message', (data, binary) => {
    count += 1;
    if (count % 5 === 0) {
      // Cut in the middle, also of a character.
      const middle = data.length >> 1;
      socket.send(data.subarray(0, middle), { binary, fin: false });
      socket.send(data.subarray(middle), { binary, fin: true });
    } else {
      socket.send(data, { binary });
    }
  });
  socket.on('error', (error) => console.error(error));
  return new Promise((resolve) => {
    socket.on('close', (code) => {
      console.log(code);
      resolve();
    });
  });
}

function serveAll() {
  const server = http.createServer();
  server.on('upgrade', (request, socket, head) => {
    const perMessageDeflate = deflate(request.url.split('?')[1]);
    new WebSocketServer({ noServer: true, perMessageDeflate }).handleUpgrade(request, socket, head, echo);
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
  process.stdin.resume().on('end', () => process.exit());
}

async function callForEachLine(port) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    await echo(new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: deflate(line) }));
  }
}

if (process.argv[2] === 'server') {
  serveAll();
} else {
  callForEachLine(process.argv[3]);
}
