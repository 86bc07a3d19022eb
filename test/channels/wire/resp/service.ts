/** The service without sockets: a client is a session, time stands still until it is advanced. */
import type { RespSession } from "../../../../src/channels/wire/resp/host.ts";
import { LatencyMonitor } from "../../../../src/channels/wire/resp/latency.ts";
import { RespService } from "../../../../src/channels/wire/resp/service.ts";
import { respDefaults, RespEngine, RespFlag, type RespSettings } from "../../../../src/native/resp.ts";
import { encode, type Word } from "./raw.ts";
import { testHost } from "./server.ts";
import { openStore, type TestStore } from "./store.ts";

export interface TestService {
  engine: RespEngine;
  service: RespService;
  store: TestStore;
  latency: LatencyMonitor;
  /** Sessions that another's CLIENT KILL closed. */
  closed: RespSession[];
  advance(ms: number): void;
  open(): RespSession;
  /** One command's reply as text; goes on when the engine stops for its reply limit. */
  run(session: RespSession, ...words: Word[]): string;
  /** Everything that `bytes` yields, with the last flags. */
  send(session: RespSession, bytes: Uint8Array): { text: string; flags: number };
  close(): void;
}

export function openTestService(settings: Partial<RespSettings> = {}, password?: string): TestService {
  const store = openStore(settings.memoryBytesMax ?? 0);
  const authenticationRequired = password !== undefined;
  const engine = new RespEngine(store, { ...respDefaults, ...settings, authenticationRequired });
  let now = 1_700_000_000_000;
  const timer = { cancel() {} };
  const clock = {
    nowMs: () => now,
    monotonicMs: () => now,
    after: () => timer,
    every: () => timer,
    endOfTurn() {},
  };
  const closed: RespSession[] = [];
  const host = testHost(engine, password === undefined ? { clock } : { clock, password });
  const service = new RespService(host, (session) => closed.push(session));
  const send = (session: RespSession, bytes: Uint8Array) => {
    let flags = service.receive(session, bytes);
    const parts = [Buffer.from(engine.replies())];
    while ((flags & RespFlag.More) !== 0) {
      flags = service.resume(session);
      parts.push(Buffer.from(engine.replies()));
    }
    return { text: Buffer.concat(parts).toString("latin1"), flags };
  };
  return {
    engine,
    store,
    service,
    latency: host.latency,
    closed,
    send,
    advance: (ms) => {
      now += ms;
    },
    open: () => service.open("127.0.0.1:1", "127.0.0.1:2"),
    run: (session, ...words) => send(session, encode(words)).text,
    close() {
      for (const session of [...service.sessions.values()]) service.close(session);
      engine.close();
      store.close();
    },
  };
}
