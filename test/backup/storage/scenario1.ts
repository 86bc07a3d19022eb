/**
 * scenario1 of the original's tests: three volumes with writers, and at random a snapshot, a hash backup, a merge, an apply, a
 * stop and start of a server, for as long as one likes. After each round every volume's newest snapshot is compared.
 */
import { seededRandom } from "../../../src/core/seams/random.ts";
import { Group, until, Writer } from "./cluster.ts";

export async function runScenario1(seconds: number, seed: number): Promise<Record<string, number>> {
  const random = seededRandom(seed);
  const volumes = ["vol1", "vol2", "vol3"];
  const counts: Record<string, number> = {
    rounds: 0,
    snapshots: 0,
    hashBackups: 0,
    merges: 0,
    applies: 0,
    restarts: 0,
    overflows: 0,
  };
  const count = (name: string) => (counts[name] = (counts[name] as number) + 1);
  await using group = await Group.start({ volumes, logBytes: 32 << 20 });
  const writers = new Map(
    volumes.map((name, index) => [name, new Writer(seed + index, () => group.client(group.storage, name))]),
  );
  for (const name of volumes) {
    await group.initStorage(group.storage, name);
    await (writers.get(name) as Writer).write(20);
    await group.backup("full-bkp", group.storage, name);
  }
  const restorable = (name: string) => group.restorable(group.archive, name);
  const actions: Record<string, (name: string) => Promise<void>> = {
    async snapshots(name) {
      await group.storage.controller.snapshot(name);
    },
    async hashBackups(name) {
      await group.hashBackupAnew(group.storage, name);
    },
    async merges(name) {
      const gids = await restorable(name);
      const [first, ...rest] = gids;
      const last = rest.at(-1);
      if (first === undefined || last === undefined || rest.length < 3) return;
      const between = rest.slice(0, -1).map(String);
      const { controller } = group.archive;
      await controller.command("disable-snapshot", [name, ...between], "ok");
      // A hash backup in between cannot be merged away: then there is nothing to merge, and it says so.
      await controller
        .command("merge", [name, String(first), "gid", String(last)], "accept")
        .catch(() => undefined);
      await until("the merge", async () => (await controller.get("num-action", name, "Merge")) === 0n);
    },
    async applies(name) {
      const gids = await restorable(name);
      const gid = gids.at(-2);
      if (gid === undefined) return;
      const { controller } = group.archive;
      await controller.command("apply", [name, String(gid)], "accept").catch(() => undefined);
      await until("the apply", async () => (await controller.get("num-action", name, "Apply")) === 0n);
    },
    async restarts() {
      const node = [group.storage, group.proxy, group.archive][random.integer(3)] as typeof group.storage;
      await node.stop();
      await node.start();
    },
  };
  /** Writers write as fast as they can: where shipping could not keep up, an operator takes a hash backup. */
  const mendOverflow = async (name: string) => {
    const { storage } = group;
    if ((await storage.controller.get("is-overflow", name)) !== 1n) return;
    await group.untilState(storage, "Stopped", name);
    await group.hashBackupAnew(storage, name);
    count("overflows");
  };
  const deadline = performance.now() + seconds * 1000;
  do {
    for (const writer of writers.values()) writer.begin();
    for (let step = 0; step < 4; step++) {
      const action = Object.keys(actions)[random.integer(Object.keys(actions).length)] as string;
      const name = volumes[random.integer(3)] as string;
      await (actions[action] as (name: string) => Promise<void>)(name);
      count(action);
      await Bun.sleep(random.integer(30));
    }
    for (const writer of writers.values()) await writer.end();
    for (const name of volumes) {
      await mendOverflow(name);
      await group.compareSnapshot(group.storage, [group.archive], name);
    }
    count("rounds");
  } while (performance.now() < deadline);
  return counts;
}
