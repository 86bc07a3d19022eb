/** The acceptance scenarios of the original's own tests, with our storage, proxies and archives (walb.md 12). */
import { describe, expect, test } from "bun:test";
import { VOLUME } from "../servers.ts";
import { Group, until, Writer } from "./cluster.ts";

async function backedUp(options: Parameters<typeof Group.start>[0] = {}) {
  const group = await Group.start(options);
  const writer = new Writer(1, () => group.client());
  await group.initStorage();
  await writer.write(40);
  await group.backup("full-bkp");
  return {
    group,
    writer,
    async [Symbol.asyncDispose]() {
      await writer.end();
      await group[Symbol.asyncDispose]();
    },
  };
}

describe("n: how it goes when nothing breaks", () => {
  test("n1: init, write, full backup, restore, compare", async () => {
    await using world = await backedUp();
    const { group } = world;
    const gid = await group.compareSnapshot();
    await group.archive.controller.command("restore", [VOLUME, String(gid)], "accept");
    await until("it is restored", async () => {
      const restored = (await group.archive.controller.get("restored", VOLUME)) as string[];
      return restored.includes(String(gid));
    });
  }, 60_000);

  test("n2: write, snapshot, restore, compare", async () => {
    await using world = await backedUp();
    const { group, writer } = world;
    for (let round = 0; round < 3; round++) {
      await writer.write(30);
      await group.compareSnapshot();
    }
    expect((await group.restorable()).length).toBeGreaterThanOrEqual(3);
  }, 60_000);

  test("n3: go standby, write, hash backup, restore, compare", async () => {
    await using world = await backedUp();
    const { group, writer } = world;
    await group.compareSnapshot();
    await group.storage.controller.command("stop", [VOLUME], "accept");
    await group.untilState(group.storage, "Stopped");
    await group.storage.controller.command("reset-vol", [VOLUME], "ok");
    await group.storage.controller.command("start", [VOLUME, "standby"], "ok");
    await writer.write(50);
    expect(await group.storage.controller.get("is-overflow", VOLUME)).toBe(0n);
    await group.storage.controller.command("stop", [VOLUME], "accept");
    await group.untilState(group.storage, "SyncReady");
    await group.backup("hash-bkp");
    await group.compareSnapshot();
  }, 60_000);
});
