/** Workers on a network that others can read: what they say to each other is encrypted, and strangers are not let in. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority, issueCertificate } from "../../../src/core/certificates.ts";
import { silentLog } from "../../../src/core/logging/log.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import type { CallerTls } from "../../../src/core/sockets/tls.ts";
import detector from "../../../src/streams/apps/detector.ts";
import { planOf } from "../../../src/streams/plan/plan.ts";
import { workerConfig } from "../../../src/streams/worker/config.ts";
import { Worker, type WorkerSettings } from "../../../src/streams/worker/worker.ts";

const directory = mkdtempSync(join(tmpdir(), "node-x-stream-tls-"));
let pair: CallerTls & { cert: string; key: string };
let foreignCa = "";

beforeAll(async () => {
  const nowMs = Date.now();
  const authority = await createAuthority("ours", 10, nowMs);
  foreignCa = (await createAuthority("theirs", 10, nowMs)).certificate;
  const issued = await issueCertificate(authority, { name: "worker", hosts: ["127.0.0.1"], days: 10, nowMs });
  pair = { ca: authority.certificate, cert: issued.certificate, key: issued.key };
});
afterAll(() => rmSync(directory, { recursive: true }));

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const endMs = performance.now() + 20_000; !holds();) {
    if (performance.now() > endMs) throw new Error(`gave up waiting for ${what}`);
    await Bun.sleep(5);
  }
}

let directories = 0;

/** `ca`: whom it believes; undefined: it speaks without TLS. */
function start(name: string, ca: string | undefined, settings: Partial<WorkerSettings>): Promise<Worker> {
  const dataDir = join(directory, `${name}-${directories++}`);
  return Worker.start({
    ...{ world: realWorld(), log: silentLog(), dataDir, directory, secret: "sesame", mirror: undefined },
    plan: planOf(detector, { args: ["--generate", "7"] }),
    settings: {
      ...{ name, size: 2, host: "127.0.0.1", controlPort: 0, dataPort: 0, joining: 0, checkpointMs: 20 },
      ...{ join: undefined, sources: [], sinks: [`windows=file:${dataDir}.out`], onStepError: "fail" },
      ...{ compaction: { logBytesMin: 1 << 20, growthPercent: 100 }, deadLetters: { bytesMax: 0 } },
      nats: { servers: [] },
      ...settings,
    },
    tls: ca === undefined ? undefined : pair,
    peerTls: ca === undefined ? undefined : { ...pair, ca },
    ...{
      connectionsMax: 10,
      announcePort: () => {},
      progress: () => {},
      onGoodbye: () => {},
      onStop: () => {},
    },
    onFatal: (error) => {
      throw error;
    },
  });
}

/** Listens in on what a worker and its leader say. */
function eavesdrop(port: number): { port: number; heard(): string; stop(): void } {
  const chunks: Buffer[] = [];
  const listener = Bun.listen<{ waiting: Buffer[]; other?: Bun.Socket }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { waiting: [] };
        void Bun.connect({
          hostname: "127.0.0.1",
          port,
          socket: {
            open(other) {
              socket.data.other = other;
              for (const chunk of socket.data.waiting) other.write(chunk);
            },
            data: (_other, chunk) => void (chunks.push(Buffer.from(chunk)), socket.write(chunk)),
            close: () => void socket.end(),
          },
        });
      },
      data(socket, chunk) {
        chunks.push(Buffer.from(chunk));
        if (socket.data.other === undefined) socket.data.waiting.push(Buffer.from(chunk));
        else socket.data.other.write(chunk);
      },
      close: (socket) => void socket.data.other?.end(),
    },
  });
  return {
    port: listener.port,
    heard: () => Buffer.concat(chunks).toString("latin1"),
    stop: () => listener.stop(true),
  };
}

const portOf = (address: string) => Number(address.slice(address.lastIndexOf(":") + 1));

/** What is heard while two workers form a cluster and records go from one to the other. */
async function formed(ca: string | undefined): Promise<string> {
  const first = await start("initializer", ca, { sources: ["Detector=generator:?pauseMs=1"] });
  const line = eavesdrop(portOf(first.place.control));
  const second = await start("worker2", ca, { join: `127.0.0.1:${line.port}` });
  await until("records at both", () => [first, second].every(({ engine }) => engine.recordsOut > 10));
  await until("checkpoints", () => second.stateLog.committed.id > 2);
  await second.close();
  await first.close();
  line.stop();
  return line.heard();
}

test("without TLS a listener reads along: the check below can fail", async () => {
  expect(await formed(undefined)).toContain('"type":"hello"');
}, 60_000);

test("with TLS nothing of it can be read", async () => {
  const heard = await formed(pair.ca);
  expect(heard.length).toBeGreaterThan(1000);
  for (const word of ["hello", "worker2", "checkpoint", "key_"]) expect(heard).not.toContain(word);
}, 60_000);

test("a worker that speaks without TLS, or believes others, is not let in, and links take no plain connection", async () => {
  const first = await start("initializer", pair.ca, {});
  const control = first.place.control;
  const plain = await start("worker2", undefined, { join: control });
  const stranger = await start("worker2", foreignCa, { join: control });
  const closed = Promise.withResolvers<number>();
  let received = 0;
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: portOf(first.place.data),
    socket: {
      data: (_socket, chunk) => void (received += chunk.byteLength),
      close: () => closed.resolve(received),
    },
  });
  socket.write(Buffer.from("\0\0\0\x02\0{"));
  // An alert of TLS at most, no welcome.
  expect(await closed.promise).toBeLessThan(8);
  await Bun.sleep(300);
  expect(first.leader?.status.missing).toEqual(["1 of 2 workers"]);
  const second = await start("worker2", pair.ca, { join: control });
  await until("the cluster", () => first.runtime.isRunning && second.runtime.isRunning);
  for (const worker of [plain, stranger, second, first]) await worker.close();
}, 60_000);

test("a cluster's configuration has TLS on both sides or on none", () => {
  const base = { role: "worker", instance: "x", dataDir: "/d" };
  const tls = { cert: "c", key: "k" };
  const isTaken = (more: Record<string, unknown>) => workerConfig.safeParse({ ...base, ...more }).success;
  expect(isTaken({ size: 2 })).toBe(true);
  expect(isTaken({ tls })).toBe(true);
  expect(isTaken({ size: 2, tls })).toBe(false);
  expect(isTaken({ join: "h:1", tls })).toBe(false);
  expect(isTaken({ join: "h:1", tls, peerCa: "ca" })).toBe(true);
  expect(isTaken({ join: "h:1", peerCa: "ca" })).toBe(false);
});
