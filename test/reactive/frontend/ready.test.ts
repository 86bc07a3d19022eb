/** When a frontend says that it is ready: over an engine that answers when the test says so. */
import { expect, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import { createMetrics } from "../../../src/core/metrics.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import type { Engine, RunningEngine } from "../../../src/reactive/engines/engine.ts";
import { frontendConfig } from "../../../src/reactive/frontend/config.ts";
import { Frontend } from "../../../src/reactive/frontend/role.ts";
import { LifeClock } from "../client/life.ts";

async function settle(): Promise<void> {
  for (let hops = 0; hops < 20; hops++) await Promise.resolve();
}

test("a store that answers no more is noticed long before what it was asked is given up", async () => {
  const clock = new LifeClock();
  let isSilent = false;
  const engine = {
    known: 1,
    nextTimestamp: () => (isSilent ? new Promise<number>(() => undefined) : Promise.resolve(1)),
    follow: () => ({
      started: () => Promise.resolve(),
      poll: () => Promise.resolve(1),
      stop: () => undefined,
    }),
  } as unknown as Engine;
  const running: RunningEngine = {
    ...{ name: "silent", engine, settled: 0 },
    ...{ stats: () => ({}), stop: () => undefined },
  };
  const config = frontendConfig.parse({
    ...{ role: "frontend", instance: "f0", dataDir: "/nowhere", httpPort: 0 },
  });
  const frontend = await Frontend.start(
    {
      ...{ ...realWorld(), clock, instance: "f0", config, dataDir: "/nowhere", log: silentLog() },
      ...{ metrics: createMetrics("f0", "frontend"), tls: undefined },
      ...{ progress: () => undefined, announcePort: () => undefined },
      fatal: (error) => {
        throw error;
      },
    },
    running,
  );
  const after = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 100) {
      clock.advance(100);
      await settle();
    }
    return frontend.notReady();
  };
  expect(await after(1000)).toEqual([]);
  expect(await after(10_000)).toEqual([]);
  isSilent = true;
  expect(await after(3000)).toEqual([]);
  expect(await after(4000)).toEqual([expect.stringMatching(/^the store has not answered for [67] s$/)]);
  isSilent = false;
  expect(await after(1000)).toEqual([]);
  const stopping = frontend.stop();
  clock.advance(60_000);
  await stopping;
});
