/**
 * A durable counter over the simulated world: the smallest role, as an example of how one is simulated.
 */
import { expect, test } from "bun:test";
import { crc32c } from "../../../src/core/crc32c.ts";
import { LogFile } from "../../../src/core/append-log/log-file.ts";
import type { Socket } from "../../../src/core/seams/net.ts";
import type { World } from "../../../src/core/role.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";

const PORT = 7000;

/** Each received byte adds one to the counter; the answer, one byte, is sent once the addition is durable. */
async function startCounter(world: World): Promise<{ count: () => number }> {
  let count = 0;
  const waiting: { position: number; socket: Socket }[] = [];
  const onDurable = (position: number) => {
    while (waiting[0] !== undefined && waiting[0].position <= position)
      waiting.shift()?.socket.write(new Uint8Array(1));
  };
  const onFrame = (payload: Uint8Array) => void (count += payload.byteLength);
  const settings = { directory: "/data/log", payloadFormat: 1, segmentBytesMin: 4096, segmentBytesMax: 4096 };
  const log = await LogFile.open(
    { ...world, ...settings, crc32c, listener: { onDurable } },
    { onSnapshot: onFrame, onFrame },
  );
  await world.net.listen({
    host: "0.0.0.0",
    port: PORT,
    handlers: {
      open: () => undefined,
      data(socket, _, chunk) {
        for (const _byte of chunk) {
          count += 1;
          waiting.push({ position: log.append(new Uint8Array(1)), socket });
        }
      },
      drain: () => undefined,
      close: () => undefined,
    },
  });
  return { count: () => count };
}

/** Lives of the server under a client that counts answers; returns the trace. */
function simulate(seed: number): { hash: string; answered: number; faults: string } {
  const cluster = new SimCluster(seed);
  const [server, client] = [cluster.host("10.0.0.1"), cluster.host("10.0.0.2")];
  const wait = (ms: number) => new Promise<void>((resolve) => cluster.scheduler.after(ms, resolve));
  let sent = 0;
  let answered = 0;
  cluster.scheduler.run(
    async () => {
      const { world } = client.start();
      for (let life = 0; life < 6; life++) {
        const counter = await startCounter(server.start().world);
        expect(counter.count()).toBeGreaterThanOrEqual(answered);
        expect(counter.count()).toBeLessThanOrEqual(sent);
        const handlers = {
          open: () => undefined,
          data: (_socket: Socket, _state: undefined, chunk: Uint8Array) =>
            void (answered += chunk.byteLength),
          drain: () => undefined,
          close: () => undefined,
        };
        const socket = await world.net.connect({ host: "10.0.0.1", port: PORT, handlers });
        for (let burst = 0; burst < 20; burst++) {
          sent += Math.max(0, socket.write(new Uint8Array(1 + world.random.integer(5))));
          await wait(world.random.float() * 2);
        }
        if (life % 2 === 0) server.killProcess();
        else server.losePower({ names: "any", isTearing: true });
      }
    },
    { timeLimitMs: 60_000 },
  );
  return { hash: cluster.scheduler.traceHash, answered, faults: String(cluster.faults()) };
}

test("a role over the whole simulated world survives kills and power loss, the same for the same seed", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const run = simulate(seed);
    expect(run.answered).toBeGreaterThan(20);
    expect(simulate(seed)).toEqual(run);
  }
  expect(simulate(1).hash).not.toBe(simulate(2).hash);
  console.log(`seed 1: ${simulate(1).answered} answers; ${simulate(1).faults}`);
});

test("refuses a second process on one host", () => {
  const host = new SimCluster(1).host("10.0.0.1");
  host.start();
  expect(() => host.start()).toThrow("a process still runs on 10.0.0.1");
});
