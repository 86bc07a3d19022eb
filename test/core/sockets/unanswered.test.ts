/** Connections at an HTTP listener that never sent a request, against the real server. */
import { expect, test } from "bun:test";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Hono } from "hono";
import type { Log } from "../../../src/core/logging/log.ts";
import { realClock } from "../../../src/core/seams/clock.ts";
import { serveHttp } from "../../../src/core/sockets/serve-http.ts";
import { closeUnanswered } from "../../../src/native/system.ts";
import { until } from "../kernel/harness.ts";

/** Also when they are closed a few at a time, more than half of these are closed before fewer than many are left. */
const MANY = 600;

test("many that say nothing are closed soon, and a request that is being answered is not", async () => {
  const warnings: string[] = [];
  const log = { error: () => {}, warn: (text: string) => warnings.push(text) } as unknown as Log;
  let sweep = () => {};
  const clock = {
    ...realClock,
    every: (_periodMs: number, callback: () => void) => {
      sweep = callback;
      return { cancel: () => {} };
    },
  };
  const answer = Promise.withResolvers<void>();
  const app = new Hono();
  app.get("/slow", async (context) => {
    await answer.promise;
    return context.text("answered");
  });
  const server = serveHttp(app, { host: "127.0.0.1", port: 0 }, clock, log);
  const slow = fetch(`http://127.0.0.1:${server.port}/slow`);
  let closed = 0;
  const silent = Array.from({ length: MANY }, (): Socket => {
    const socket = connect(server.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.on("close", () => closed++);
    socket.resume();
    return socket;
  });
  await until("the silent ones to be closed", () => {
    sweep();
    return closed > MANY / 2 || undefined;
  });
  answer.resolve();
  expect(await (await slow).text()).toBe("answered");
  expect(warnings[0]).toContain("said nothing");
  for (const socket of silent) socket.destroy();
  await server.stop(1000);
}, 60_000);

test("rules are applied in their order, to what those before them left", async () => {
  let ended = 0;
  const server = createServer((socket) => {
    socket.on("error", () => {}).on("close", () => ended++);
    socket.resume();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const clients = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const socket = connect(port, "127.0.0.1").on("error", () => {});
      await once(socket, "connect");
      return socket;
    }),
  );
  let received = 0;
  for (const socket of clients.slice(0, 2)) socket.write("x", () => received++);
  await until("two to have spoken", () => received === 2 || undefined);
  const mute = { silentMsMin: 0, receivedBytesMax: 0 };
  const any = { silentMsMin: 0, receivedBytesMax: 0xffff_ffff };
  const rules = [
    { ...mute, connectedMin: 6 }, // there are no more than six
    { ...any, silentMsMin: 3_600_000, connectedMin: 0 },
    { ...mute, connectedMin: 5 },
    { ...any, connectedMin: 2 }, // two are left
  ];
  expect(closeUnanswered(port, rules)).toEqual({ connected: 6, closed: [0, 0, 4, 0] });
  await until("four to be gone", () => ended === 4 || undefined);
  expect(closeUnanswered(port, [{ ...any, connectedMin: 0 }]).closed).toEqual([2]);
  for (const socket of clients) socket.destroy();
  server.close();
});
