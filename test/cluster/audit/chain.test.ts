/**
 * The audit log: whatever is done to it afterwards is found out; a crash leaves at most half a line, which
 * nobody was promised.
 */
import { expect, test } from "bun:test";
import { AuditLog, verifyChain } from "../../../src/cluster/audit/chain.ts";
import type { AuditEntry } from "../../../src/cluster/agent/messages.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";

const action = (number: number) => ({
  operation: "op",
  operator: "me@here",
  action: `action ${number}`,
  result: "ok",
});

async function write(log: AuditLog, count: number): Promise<AuditEntry[]> {
  for (let number = 0; number < count; number++) await log.append(action(number));
  return (await log.read()).entries;
}

function entriesOf(count: number): AuditEntry[] {
  const cluster = new SimCluster(1);
  const { world } = cluster.host("10.0.0.1").start();
  return cluster.scheduler.run(() => write(new AuditLog(world.disk, world.clock, "/audit/log.jsonl"), count));
}

test("a log that nobody touched is fine, and its head names its last entry", () => {
  const entries = entriesOf(5);
  expect(verifyChain("host", entries)).toEqual({ sequence: 5, hash: entries.at(-1)?.hash as string });
});

const damages: Record<string, (entries: AuditEntry[]) => AuditEntry[]> = {
  "a changed word": (entries) =>
    entries.map((entry, at) => (at === 2 ? { ...entry, result: "failed" } : entry)),
  "a changed word, hashed anew": (entries) =>
    entries.map((entry, at) => (at === 2 ? { ...entry, result: "failed", hash: "0".repeat(64) } : entry)),
  "a removed entry": (entries) => entries.toSpliced(2, 1),
  "a removed first entry": (entries) => entries.slice(1),
  "two swapped entries": (entries) => entries.toSpliced(1, 2, ...entries.slice(1, 3).toReversed()),
  "an inserted entry": (entries) => entries.toSpliced(2, 0, entries[2] as AuditEntry),
  "an added field": (entries) => entries.map((entry, at) => (at === 2 ? { ...entry, instance: "x" } : entry)),
};

test.each(Object.entries(damages))("%s is found out", (_, damage) => {
  let found: unknown;
  try {
    verifyChain("host", damage(entriesOf(5)));
  } catch (error) {
    found = error;
  }
  expect(found).toMatchObject({ code: "NX_AUDIT_BROKEN" });
});

test("a log that was cut short is found out by what others have seen of it", () => {
  const entries = entriesOf(5);
  const seen = [entries[3]?.hash as string];
  expect(() => verifyChain("host", entries.slice(0, 4), seen)).not.toThrow();
  expect(() => verifyChain("host", entries.slice(0, 3), seen)).toThrow("missing");
});

test("after power loss every entry that was reported is there, in a chain that holds, and the log goes on", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const cluster = new SimCluster(seed);
    const host = cluster.host("10.0.0.1");
    let told = 0;
    const { world } = host.start();
    cluster.scheduler.run(async () => {
      const log = new AuditLog(world.disk, world.clock, "/audit/log.jsonl");
      const writing = (async () => {
        for (let number = 0; number < 8; number++) told = (await log.append(action(number))).sequence + 1;
      })();
      writing.catch(() => undefined);
      await new Promise<void>((resolve) => void cluster.scheduler.after(seed * 0.3, resolve));
      host.losePower({ names: "any", isTearing: true });
      const next = host.start().world;
      const again = new AuditLog(next.disk, next.clock, "/audit/log.jsonl");
      const { entries } = await again.read();
      expect(verifyChain("host", entries).sequence).toBeGreaterThanOrEqual(told);
      await again.append(action(99));
      const after = await again.read();
      expect(after.tornBytes).toBe(0);
      expect(verifyChain("host", after.entries).sequence).toBe(entries.length + 1);
    });
  }
});
