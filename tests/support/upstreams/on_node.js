// The common paths on node's http module, the websocket by hand.
"use strict";

const crypto = require("crypto");
const fs = require("fs");
const http = require("http");
const { parseArgs } = require("util");

const { values: options } = parseArgs({
  options: {
    port: { type: "string" },
    host: { type: "string", default: "127.0.0.1" },
    events: { type: "string" },
    delay: { type: "string", default: "0" },
    "keep-alive": { type: "string", default: "2" },
  },
});

const record = (line) => options.events && fs.appendFileSync(options.events, `${line}\n`);
record(`start ${process.pid}`);
const starts = options.events
  ? fs.readFileSync(options.events, "utf8").split("\n").filter((line) => line.startsWith("start ")).length
  : 1;
const instance = `${process.pid}-${starts}`;

function reply(response, status, body, type = "text/plain") {
  response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body), "X-Instance": instance });
  response.end(body);
}

function ticks(response, count, every) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "X-Instance": instance });
  let number = 0;
  const next = () => {
    if (number === count) return response.end();
    response.write(`id: ${number}\ndata: ${number}\n\n`);
    number += 1;
    setTimeout(next, every * 1000);
  };
  next();
}

function echo(request, response) {
  if (request.headers["x-post-id"]) record(`post ${request.headers["x-post-id"]}`);
  const digest = crypto.createHash("sha256");
  let length = 0;
  request.on("data", (data) => {
    digest.update(data);
    length += data.length;
  });
  request.on("end", () => reply(response, 200, JSON.stringify({ sha256: digest.digest("hex"), length }), "application/json"));
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://x");
  const number = (name, value) => Number(url.searchParams.get(name) ?? value);
  if (url.pathname === "/echo-sha") return echo(request, response);
  request.resume();
  if (url.pathname === "/") return reply(response, 200, "hello from node\n");
  if (url.pathname === "/health") return reply(response, 200, "ok");
  if (url.pathname === "/sse") return ticks(response, number("n", 10), number("every", 0.1));
  if (url.pathname === "/slow") return setTimeout(() => reply(response, 200, "slow"), number("s", 1) * 1000);
  if (url.pathname.startsWith("/size/")) {
    const length = Number(url.pathname.slice(6));
    return reply(response, 200, Buffer.alloc(length, "0123456789abcdef"));
  }
  return reply(response, 404, "no such path");
});
server.keepAliveTimeout = Number(options["keep-alive"]) * 1000;

function frames(buffer, emit) {
  // Take whole masked frames off the buffer; return what is left.
  while (buffer.length >= 6) {
    let length = buffer[1] & 0x7f;
    let at = 2;
    if (length === 126) {
      length = buffer.readUInt16BE(2);
      at = 4;
    }
    if (buffer.length < at + 4 + length) break;
    const mask = buffer.subarray(at, at + 4);
    const data = Buffer.from(buffer.subarray(at + 4, at + 4 + length));
    for (let i = 0; i < length; i += 1) data[i] ^= mask[i % 4];
    emit(buffer[0] & 0x0f, data);
    buffer = buffer.subarray(at + 4 + length);
  }
  return buffer;
}

server.on("upgrade", (request, socket, head) => {
  const accept = crypto
    .createHash("sha1")
    .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `X-Instance: ${instance}\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  let left = head;
  const send = (opcode, data) => {
    const code = opcode === 0x9 ? 0xa : opcode;
    const length = data.length < 126 ? Buffer.from([data.length]) : Buffer.from([126, data.length >> 8, data.length & 255]);
    socket.write(Buffer.concat([Buffer.from([0x80 | code]), length, data]));
    if (code === 0x8) socket.end();
  };
  socket.on("data", (data) => {
    left = frames(Buffer.concat([left, data]), send);
  });
  socket.on("error", () => socket.destroy());
});

process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
setTimeout(() => server.listen(Number(options.port), options.host), Number(options.delay) * 1000);
