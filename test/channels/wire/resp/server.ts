/**
 * A small server over the engine for the tests: one listener on a free loopback port, nothing durable. It
 * drives the service as a role does: an outbox per client, reading paused while replies wait.
 */
import { randomBytes } from "node:crypto";
import { type RespSession, type RespHost } from "../../../../src/channels/wire/resp/host.ts";
import { LatencyMonitor } from "../../../../src/channels/wire/resp/latency.ts";
import { fixedParameter } from "../../../../src/channels/wire/resp/config.ts";
import { RespService } from "../../../../src/channels/wire/resp/service.ts";
import { type Clock, realClock } from "../../../../src/core/seams/clock.ts";
import { realNet } from "../../../../src/core/seams/net-real.ts";
import type { Socket } from "../../../../src/core/seams/net.ts";
import { Outbox } from "../../../../src/core/sockets/outbox.ts";
import { respDefaults, RespEngine, RespFlag, type RespSettings } from "../../../../src/native/resp.ts";
import { openStore, type TestStore } from "./store.ts";

export interface TestServer extends AsyncDisposable {
  port: number;
  engine: RespEngine;
  service: RespService;
  store: TestStore;
}

interface Client {
  socket: Socket;
  session: RespSession;
  outbox: Outbox;
}

export interface TestServerOptions {
  settings?: Partial<RespSettings>;
  password?: string;
  clock?: Clock;
}

/** What INFO and CONFIG are told in tests. */
export function testHost(
  engine: RespEngine,
  options: TestServerOptions = {},
): Omit<RespHost, "sessions" | "kill"> {
  let timeout = "0";
  const clock = options.clock ?? realClock;
  return {
    version: "0.0.0",
    runId: randomBytes(20).toString("hex"),
    processId: process.pid,
    configFile: "",
    port: () => 0,
    startedAtMs: clock.nowMs(),
    clock,
    engine,
    latency: new LatencyMonitor(),
    password: () => options.password,
    parameters: [
      fixedParameter("save", ""),
      fixedParameter("appendonly", "no"),
      fixedParameter("databases", "16"),
      {
        name: "timeout",
        get: () => timeout,
        set: (value) => {
          if (!/^\d+$/.test(value)) return "argument couldn't be parsed into an integer";
          timeout = value;
          return undefined;
        },
      },
    ],
    rewriteLog: () => undefined,
    info: () => [{ name: "memory", fields: { used_memory: 1 } }],
  };
}

export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const store = openStore(options.settings?.memoryBytesMax ?? 0);
  const settings = {
    ...respDefaults,
    ...options.settings,
    authenticationRequired: options.password !== undefined,
  };
  const engine = new RespEngine(store, settings);
  const clients = new Map<RespSession, Client>();
  const service = new RespService(testHost(engine, options), (session) => clients.get(session)?.outbox.end());
  const act = (client: Client, flags: number) => {
    for (;;) {
      client.outbox.send(engine.replies());
      if ((flags & RespFlag.Close) !== 0) return client.outbox.end();
      if ((flags & RespFlag.More) === 0) return;
      if (client.outbox.length > 0) return client.socket.pause(); // goes on in onDrained
      flags = service.resume(client.session);
    }
  };
  const listener = await realNet.listen<Client>({
    host: "127.0.0.1",
    port: 0,
    handlers: {
      open(socket) {
        const session = service.open(`${socket.remoteAddress}:${clients.size}`, "127.0.0.1:0");
        const outbox = new Outbox(socket, {
          bytesMax: 1 << 30,
          onDrained: () => {
            socket.resume();
            act(client, service.resume(session));
          },
        });
        const client: Client = { socket, session, outbox };
        session.outputBytes = () => outbox.length;
        clients.set(session, client);
        return client;
      },
      data: (_socket, client, chunk) => act(client, service.receive(client.session, chunk)),
      drain: (_socket, client) => client.outbox.drain(),
      close(_socket, client) {
        client.outbox.close();
        clients.delete(client.session);
        service.close(client.session);
      },
    },
  });
  return {
    port: listener.port,
    engine,
    service,
    store,
    async [Symbol.asyncDispose]() {
      listener.stop();
      for (const { socket } of clients.values()) socket.terminate();
      while (clients.size > 0) await new Promise((resolve) => setImmediate(resolve));
      engine.close();
      store.close();
    },
  };
}
