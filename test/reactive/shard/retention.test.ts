/** All replicas of a shard forget alike, whatever their files say: what is forgotten decides what is answered. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { silentLog } from "../../../src/core/logging/log.ts";
import { createMetrics } from "../../../src/core/metrics.ts";
import type { RoleContext } from "../../../src/core/role.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";
import { shardConfig } from "../../../src/reactive/shard/config.ts";
import { encodeCommand, type ShardCommand } from "../../../src/reactive/shard/commands.ts";
import { encodeOperations } from "../../../src/reactive/shard/operations.ts";
import { FORGET_NOTHING, type Retention } from "../../../src/reactive/shard/retention.ts";
import { ShardServer } from "../../../src/reactive/shard/role.ts";
import { ShardService, shardDefaults } from "../../../src/reactive/shard/service.ts";
import { emptyState, encodeState } from "../../../src/reactive/shard/state.ts";
import { Level } from "../../../src/reactive/shard/transaction.ts";
import { whole } from "../whole.ts";

setDefaultTimeout(60_000);

const operations = encodeOperations([{ kind: "add", amount: 1n }]);
const short: Retention = { retentionMs: 2000, outcomeRetentionMs: 5000, keptOutcomeRetentionMs: 9000 };
const long: Retention = { retentionMs: 60_000, outcomeRetentionMs: 90_000, keptOutcomeRetentionMs: 90_000 };

function commit(number: number): ShardCommand {
  const accesses = [{ key: Buffer.from("a"), reads: [], operations }];
  const id = { client: number % 5, number };
  const rest = { floor: 0, level: Level.readCommitted, snapshot: 0, home: 0, participants: [0], accesses };
  return { kind: "atOnce", timestamp: number + 1, view: 0, transaction: { id, ...rest } };
}

/** A second passes between two commands. */
function follow(shard: ShardService, commands: readonly ShardCommand[]): (string | number)[] {
  for (const [index, command] of commands.entries()) {
    const ordered = { session: 1, number: index + 1, body: encodeCommand(command) };
    whole(shard.apply({ op: index + 1, timeMs: 1000 * index, commands: [ordered] }));
  }
  const { horizon, outcomes } = shard.state;
  const known = Array.from({ length: commands.length }, (_, number) =>
    outcomes.get({ client: number % 5, number }) === undefined ? "?" : number,
  );
  shard.close();
  return [horizon, ...known];
}

test("what the log says counts, not what a replica began with; until it says something nothing is forgotten", () => {
  const told: ShardCommand[] = [commit(0), { kind: "retain", retention: short }];
  for (let number = 2; number < 30; number++) told.push(commit(number < 8 ? number : 5 * number));
  const untold = told.filter(({ kind }) => kind !== "retain");
  const [one, other] = [FORGET_NOTHING, long].map((own) =>
    follow(new ShardService({ ...shardDefaults, ...own }), told),
  );
  expect(one).toEqual(other as (string | number)[]);
  expect(one?.[0]).toBeGreaterThan(10);
  expect(one?.slice(2)).toContain("?");
  const [horizon] = follow(new ShardService({ ...shardDefaults, ...FORGET_NOTHING }), untold);
  expect(horizon).toBe(0);
});

test("a snapshot carries it; one of a version that did not know it forgets nothing until the group is told", () => {
  const state = { ...emptyState(short), position: 7 };
  const bytes = encodeState(state, new Uint8Array(4));
  for (const [head, wanted] of [
    [bytes, short],
    [bytes.slice(0, -24), FORGET_NOTHING],
  ] as const) {
    const shard = new ShardService({ ...shardDefaults, ...long });
    const restorer = shard.restore();
    restorer.add(head);
    restorer.finish();
    expect(shard.state.retention).toEqual(wanted);
    shard.close();
  }
});

/** Three replicas whose files differ, by simulated time. */
class Servers {
  readonly cluster = new SimCluster(1, {});
  readonly hosts = [1, 2, 3].map((host) => this.cluster.host(`10.0.0.${host}`));
  readonly servers: (ShardServer | undefined)[] = [];
  readonly warnings: string[] = [];

  async start(index: number, own: Retention): Promise<void> {
    const host = this.hosts[index] as (typeof this.hosts)[number];
    const { world } = host.start({});
    const replicas = this.hosts.map(({ address }) => `${address}:4000`);
    const config = shardConfig.parse({
      ...{ role: "shard", instance: "s", dataDir: "/data", replicas, replica: index },
      ...{ host: host.address, port: 4000, ...own },
    });
    const log = { ...silentLog(), warn: (text: string) => void this.warnings.push(`${index}: ${text}`) };
    const context = {
      ...{ ...world, instance: "s", config, dataDir: "/data", metrics: createMetrics("s", "shard") },
      ...{ tls: undefined, progress: () => {}, announcePort: () => {} },
      log: { ...log, child: () => log },
      fatal: (error: Error) => {
        throw error;
      },
    };
    this.servers[index] = await ShardServer.start(context as unknown as RoleContext<typeof config>, 0);
  }

  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.cluster.scheduler.after(delayMs, resolve));
  }

  get primary(): number {
    return this.servers.findIndex((server) => server?.node.driver.status.isPrimary === true);
  }

  /** What each of them does. */
  get retentions(): (number | undefined)[] {
    return this.servers.map((server) => server?.stats().shard.retentionMs);
  }
}

test("the primary's file counts for all replicas, also when another one takes its place, and who has another file says so", () => {
  const rig = new Servers();
  rig.cluster.scheduler.run(
    async () => {
      const files = [2000, 3000, 4000].map((retentionMs) => ({ ...long, retentionMs }));
      for (const { disk } of rig.hosts) {
        await disk.makeDirectory("/data");
        await disk.syncDirectory("/");
      }
      await Promise.all(files.map((own, index) => rig.start(index, own)));
      await rig.pause(3000);
      const first = rig.primary;
      expect(rig.retentions).toEqual(Array(3).fill(files[first]?.retentionMs));
      const others = [0, 1, 2].filter((index) => index !== first);
      for (const index of others)
        expect(rig.warnings.filter((text) => text.startsWith(`${index}: retentionMs is ${files[index]?.retentionMs}`))).toHaveLength(1); // prettier-ignore
      expect(rig.warnings.filter((text) => /retention/i.test(text))).toHaveLength(2);
      rig.hosts[first]?.killProcess();
      rig.servers[first] = undefined;
      await rig.pause(4000);
      expect(others).toContain(rig.primary);
      expect(others.map((index) => rig.retentions[index])).toEqual(Array(2).fill(files[rig.primary]?.retentionMs)); // prettier-ignore
      for (const index of others) await rig.servers[index]?.stop();
    },
    { timeLimitMs: 60_000 },
  );
});
