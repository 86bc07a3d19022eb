/** The controller's library over a whole group with a real storage: the life of a volume, as an operator's script has it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { GroupController } from "../../../src/backup/client/group/group-controller.ts";
import {
  K_ARCHIVE,
  K_PROXY,
  K_STORAGE,
  ServerConnectionParam,
  ServerLayout,
} from "../../../src/backup/client/group/layout.ts";
import { VOLUME } from "../servers.ts";
import { Group, type Node, Writer } from "../storage/cluster.ts";

setDefaultTimeout(60_000);

test("init, full backup, snapshots, restore, hash backup, standby, replication, resize, apply, clear", async () => {
  await using group = await Group.start({ archives: 2 });
  for (const archive of group.archives) await archive.controller.command("clear-vol", [VOLUME], "ok");
  for (const proxy of group.proxies) {
    await proxy.controller.command("stop", [VOLUME, "force"], "accept");
    await group.untilState(proxy, "Stopped");
    await proxy.controller.command("clear-vol", [VOLUME], "ok");
  }
  const server = ({ name, port }: Node, kind: 0 | 1 | 2) =>
    new ServerConnectionParam(name, "127.0.0.1", port, kind);
  const s0 = server(group.storage, K_STORAGE);
  const p0 = server(group.proxy, K_PROXY);
  const [a0, a1] = group.archives.map((archive) => server(archive, K_ARCHIVE)) as [
    ServerConnectionParam,
    ServerConnectionParam,
  ];
  const { net, clock } = group.world;
  const world = { net, clock, print: () => undefined };
  const walbc = new GroupController("", new ServerLayout([s0], [p0], [a0, a1]), false, 50, world);
  walbc.pollMs = 10;
  const writer = new Writer(3, () => group.client());
  const compare = async (gid: bigint, archives = [group.archive]) => {
    const image = await group.image();
    for (const archive of archives) {
      const [got, wanted] = await group.hashes(gid, image, archive);
      expect(got).toBe(wanted);
    }
  };

  await walbc.init_storage(s0, VOLUME, VOLUME);
  await walbc.verify_state(s0, VOLUME, "Standby");
  await writer.write(30);
  const first = await walbc.full_backup(s0, VOLUME);
  expect(await walbc.get_restorable_gid(a0, VOLUME)).toContain(first);
  expect(await walbc.is_synchronizing(a0, VOLUME)).toBe(true);
  await walbc.verify_not_overflow(s0, VOLUME);
  await writer.write(10);
  const second = await walbc.snapshot(s0, VOLUME);
  await compare(second);
  await walbc.restore(a0, VOLUME, second);
  expect(await walbc.get_restored(a0, VOLUME)).toEqual([second]);
  await walbc.del_restored(a0, VOLUME, second);

  await walbc.replicate(a0, VOLUME, a1, true);
  await writer.write(10);
  const third = await walbc.snapshot(s0, VOLUME, [a0, a1]);
  await compare(third, group.archives);
  expect(await walbc.get_archive_uuid(a1, VOLUME)).toBe(await walbc.get_archive_uuid(a0, VOLUME));
  await walbc.stop_synchronizing(a1, VOLUME);
  expect(await walbc.is_synchronizing(a1, VOLUME)).toBe(false);

  await walbc.go_standby(s0, VOLUME);
  await walbc.verify_state(s0, VOLUME, "Standby");
  await writer.write(10);
  const fourth = await walbc.hash_backup(s0, VOLUME);
  expect(fourth).toBeGreaterThan(third);
  await walbc.resize(VOLUME, 5, true);
  expect(await walbc.get_vol_size_lb(a0, VOLUME)).toBe(5 * 2048);
  await writer.write(5);
  const fifth = await walbc.snapshot(s0, VOLUME);
  await compare(fifth);
  await walbc.apply(a0, VOLUME, fourth);
  await compare(fifth);
  await walbc.shutdown_list([]);
  await walbc.clear(s0, VOLUME);
  await walbc.clear(a0, VOLUME);
  expect(await Promise.all([s0, a0].map((each) => walbc.get_state(each, VOLUME)))).toEqual([
    "Clear",
    "Clear",
  ]);
  await writer.end();
});
