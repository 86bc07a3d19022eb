/** WebSockets beside a role's HTTP: who may connect, what an owner is told, and that a peer that does not read is closed. */
import { afterEach, expect, test } from "bun:test";
import { connect } from "node:net";
import { Hono } from "hono";
import { silentLog } from "../../../src/core/logging/log.ts";
import { realClock } from "../../../src/core/seams/clock.ts";
import { type HttpServer, serveHttp } from "../../../src/core/sockets/serve-http.ts";
import type { WebSocketPeer } from "../../../src/core/sockets/web-socket.ts";

const MESSAGE_BYTES_MAX = 1000;
const OUTBOX_BYTES_MAX = 100_000;

interface Seen {
  peers: WebSocketPeer[];
  messages: (string | undefined)[];
  closed: number;
}

let server: HttpServer | undefined;
afterEach(async () => server?.stop(0));

function serve({ roomFor = 10, allowedOrigins = [] as string[] } = {}): Seen {
  const seen: Seen = { peers: [], messages: [], closed: 0 };
  const app = new Hono().get("/plain", (context) => context.text("plain"));
  server = serveHttp(app, { host: "127.0.0.1", port: 0 }, realClock, silentLog(), {
    webSocket: {
      path: "/socket",
      allowedOrigins,
      limits: { messageBytesMax: MESSAGE_BYTES_MAX, outboxBytesMax: OUTBOX_BYTES_MAX },
      open(peer) {
        if (seen.peers.length >= roomFor) return undefined;
        seen.peers.push(peer);
        return {
          message(bytes) {
            seen.messages.push(bytes === undefined ? undefined : new TextDecoder().decode(bytes));
            peer.send(new TextEncoder().encode("answer"));
          },
          drain: () => {},
          close: () => void (seen.closed += 1),
        };
      },
    },
  });
  return seen;
}

const port = () => server?.port as number;

/** Resolves with what came, or the code that it was closed with. */
function ask(message: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) {
  const socket = new WebSocket(`ws://127.0.0.1:${port()}/socket`, { headers } as never);
  socket.binaryType = "arraybuffer";
  return new Promise<string | number>((resolve) => {
    socket.addEventListener("open", () => socket.send(message));
    socket.addEventListener("message", ({ data }) => resolve(new TextDecoder().decode(data as ArrayBuffer)));
    socket.addEventListener("close", ({ code }) => resolve(code));
  }).finally(() => socket.close());
}

test("binary messages reach their owner, a text is told as one, and plain requests go on beside them", async () => {
  const seen = serve();
  expect(await ask(new TextEncoder().encode("hello"))).toBe("answer");
  expect(await ask("text")).toBe("answer");
  expect(seen.messages).toEqual(["hello", undefined]);
  expect(await (await fetch(`http://127.0.0.1:${port()}/plain`)).text()).toBe("plain");
  expect((await fetch(`http://127.0.0.1:${port()}/socket`)).status).toBe(426);
});

test("a page of another origin may not connect, unless it was allowed; programs name none", async () => {
  serve({ allowedOrigins: ["https://app.example"] });
  const message = new TextEncoder().encode("hello");
  expect(await ask(message, { origin: "https://app.example" })).toBe("answer");
  expect(await ask(message, { origin: `http://127.0.0.1:${port()}` })).toBe("answer");
  expect(await ask(message, { origin: "https://evil.example" })).toBe(1006);
  expect(await ask(message, { origin: "no origin" })).toBe(1006);
});

test("a message over the limit, and a connection without room, are closed", async () => {
  const seen = serve({ roomFor: 1 });
  expect(await ask(new Uint8Array(MESSAGE_BYTES_MAX + 1))).toBe(1009);
  expect(seen.messages).toEqual([]);
  expect(await ask(new Uint8Array(1))).toBe(1013);
});

test("messages of one turn wait until its end, and arrive in order, also those before a close", async () => {
  const seen = serve();
  const socket = new WebSocket(`ws://127.0.0.1:${port()}/socket`);
  socket.binaryType = "arraybuffer";
  const heard: number[] = [];
  socket.addEventListener("message", ({ data }) =>
    heard.push(...new Uint8Array(data as ArrayBuffer).slice(0, 1)),
  );
  const ended = new Promise<number>((resolve) =>
    socket.addEventListener("close", ({ code }) => resolve(code)),
  );
  while (seen.peers.length === 0) await Bun.sleep(1);
  const [peer] = seen.peers as [WebSocketPeer];
  const send = (first: number) => peer.send(new Uint8Array(1000).fill(first));
  // More than the runtime gathers by itself.
  for (let first = 0; first < 50; first++) send(first);
  expect(peer.length).toBeGreaterThanOrEqual(50_000);
  while (heard.length < 50) await Bun.sleep(1);
  expect([peer.length, peer.takenBytes]).toEqual([0, 50_000]);
  send(50);
  send(51);
  peer.close(4001, "enough");
  expect(await ended).toBe(4001);
  expect(heard).toEqual(Array.from({ length: 52 }, (_, index) => index));
});

test("a peer that does not read is closed when more waits for it than is allowed", async () => {
  const seen = serve();
  const socket = connect(port(), "127.0.0.1");
  socket.on("error", () => {});
  socket.pause();
  socket.write(
    "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
  );
  while (seen.peers.length === 0) await Bun.sleep(1);
  const [peer] = seen.peers as [WebSocketPeer];
  const message = new Uint8Array(64 * 1024);
  let sent = 0;
  while (peer.send(message) && sent < 10_000) {
    sent += 1;
    if (sent % 16 === 0) await Bun.sleep(0);
  }
  expect(sent).toBeLessThan(10_000);
  while (seen.closed === 0) await Bun.sleep(1);
  // What a closed connection is sent is nobody's.
  expect(peer.send(message)).toBe(true);
  socket.destroy();
});
