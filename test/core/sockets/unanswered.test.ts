/** Connections at an HTTP listener that never sent a request, against the real server. */
import { expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { Hono } from "hono";
import type { Log } from "../../../src/core/logging/log.ts";
import { realClock } from "../../../src/core/seams/clock.ts";
import { serveHttp } from "../../../src/core/sockets/serve-http.ts";
import { until } from "../kernel/harness.ts";

const MANY = 300;

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
