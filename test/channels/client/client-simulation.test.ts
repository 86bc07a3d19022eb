/** Simulated lives of a client and its nodes (client-simulation.ts). */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SECRET } from "../wire/legacy/server.ts";
import { simulateClient } from "./client-simulation.ts";

const SEEDS = 15;

test("what the client was told is kept, and every call ends, whatever dies", () => {
  let [acknowledged, failed] = [0, 0];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const run = simulateClient(seed);
    expect({ seed, violations: run.violations }).toEqual({ seed, violations: [] });
    acknowledged += run.acknowledged;
    failed += run.failed;
  }
  // Both happen, or nothing was shown.
  expect(acknowledged).toBeGreaterThan(1000);
  expect(failed).toBeGreaterThan(5);
  console.log(`${SEEDS} seeds: ${acknowledged} acknowledged writes, ${failed} calls in vain`);
}, 60_000);

test("the same over the neo protocol", () => {
  const directory = mkdtempSync(join(tmpdir(), "node-x-sim-"));
  const credentials = join(directory, "credentials");
  writeFileSync(credentials, `admin:${Buffer.from(SECRET).toString("hex")}\n`, { mode: 0o600 });
  try {
    let acknowledged = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const run = simulateClient(seed, credentials);
      expect({ seed, violations: run.violations }).toEqual({ seed, violations: [] });
      acknowledged += run.acknowledged;
    }
    expect(acknowledged).toBeGreaterThan(1000);
    expect(simulateClient(5, credentials)).toEqual(simulateClient(5, credentials));
  } finally {
    rmSync(directory, { recursive: true });
  }
}, 60_000);

test("the same seed gives the same run", () => {
  expect(simulateClient(7)).toEqual(simulateClient(7));
  expect(simulateClient(7).hash).not.toBe(simulateClient(8).hash);
}, 120_000);
