/**
 * Power loss under the target of a replication: every moment of a full copy, of diffs and of a resync, both ends the real
 * ones over a simulated network. What is restorable afterwards must be right, and repeating the replication must complete it.
 */
import { ReplicationSource } from "../../src/backup/archive/replication/source.ts";
import { replicationTarget } from "../../src/backup/archive/replication/target.ts";
import type { ArchiveVolume } from "../../src/backup/archive/volume.ts";
import { snappy } from "../../src/backup/formats/compression.ts";
import { WalbServer } from "../../src/backup/server/server.ts";
import { silentLog } from "../../src/core/logging/log.ts";
import { SimNetwork } from "../../src/core/sim/net.ts";
import {
  CrashWorld,
  type Exploration,
  makeHistory,
  pointsFound,
  record,
  type Subject,
  visit,
} from "./backup-harness.ts";

const SOURCE = "/source";
const ADDRESS = { host: "127.0.0.1", port: 5000 };
const STATES_MAX = 30;
const GIDS = 2;

/** Runs one replication from the volume below SOURCE into that below DIRECTORY. */
async function replicate(world: CrashWorld, target: ArchiveVolume, isResync: boolean): Promise<void> {
  const { clock, scheduler } = world;
  const net = new SimNetwork(scheduler).host(ADDRESS.host);
  const server: WalbServer = new WalbServer({
    ...{ net, clock, log: silentLog(), tls: undefined, nodeId: "a1", timeoutMs: 10_000, ...ADDRESS },
    connectionsMax: 10,
    foregroundMax: 10,
    protocols: {
      "repl-sync3": replicationTarget({
        server: () => server,
        volume: () => target,
        grows: false,
        syncBytes: 4096,
      }),
    },
  });
  await server.listen();
  const source = world.volume(SOURCE);
  await source.load();
  const limits = { upTo: BigInt(GIDS), mergeBytesMax: 2 ** 30, mergeDiffsMax: 100 };
  const request = { to: ADDRESS, isResync, compression: snappy, bulkBlocks: 8, limits };
  const options = { net, clock, nodeId: "a0", timeoutMs: 10_000 };
  await (await ReplicationSource.open(source, request, options)).run();
  await server.close();
}

const all = Array.from({ length: GIDS + 1 }, (_, gid) => String(gid));

export type Start = "nothing" | "the first point" | "another history";

/** What the target has before: nothing, a part of the same history, or another one. */
async function prepare(world: CrashWorld, start: Start): Promise<void> {
  await world.sim.makeDirectory(SOURCE);
  await world.sim.syncDirectory("/");
  const source = world.volume(SOURCE);
  await source.init();
  await source.setArchiveUuid(new Uint8Array(16).fill(7));
  await makeHistory(source, GIDS);
  const target = world.volume();
  await target.init();
  if (start === "nothing") return;
  await target.setArchiveUuid(new Uint8Array(16).fill(start === "another history" ? 9 : 7));
  await makeHistory(target, 1);
}

export function exploreReplication(subject: Subject, start: Start): Exploration {
  const world = new CrashWorld(subject);
  const isResync = start === "another history";
  world.run(() => prepare(world, start));
  const points = record(world, async (promise) => {
    const target = world.volume();
    await target.load();
    promise(...(start === "the first point" ? ["0", "1"] : []));
    await replicate(world, target, isResync);
    promise(...all);
  });
  return visit(
    points,
    subject,
    (restarted) =>
      restarted.run(async () => {
        const target = restarted.volume();
        await target.load();
        const found = target.state === "Archived" ? await pointsFound(target) : [];
        await replicate(restarted, target, isResync);
        const complete = await pointsFound(target);
        if (complete.join() !== all.join()) throw new Error(`after a repetition: ${complete.join()}`);
        return found;
      }),
    STATES_MAX,
  );
}
