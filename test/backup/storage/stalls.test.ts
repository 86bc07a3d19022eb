/** What could leave a volume that looks well and ships nothing: it ships on, or says why it does not. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { renameSync } from "node:fs";
import { join } from "node:path";
import { realClock } from "../../../src/core/seams/clock.ts";
import { Repeater } from "../repeater.ts";
import { VOLUME } from "../servers.ts";
import { Group, until, Writer } from "./cluster.ts";

setDefaultTimeout(60_000);

/** For a transfer a stop waits a minute, which is short here. */
const hasty = {
  ...realClock,
  after: (ms: number, run: () => void) => realClock.after(ms === 60_000 ? 20 : ms, run),
};

test("a stop that is given up, because a transfer takes too long, leaves a volume that ships on", async () => {
  let repeater: Repeater | undefined;
  const proxyPorts = (group: Group) => [(repeater ??= new Repeater(group.proxy.port)).port];
  await using group = await Group.start({ clock: hasty, proxyPorts });
  using network = repeater as unknown as Repeater;
  await group.initStorage();
  await group.backup("full-bkp");
  await group.compareSnapshot();
  network.delayMs = 150;
  const writer = new Writer(3, () => group.client());
  await writer.write(10);
  const { controller } = group.storage;
  await until("a transfer runs", async () => (await controller.get("num-action", VOLUME, "WlogSend")) === 1n);
  await controller.command("stop", [VOLUME], "accept");
  await group.untilState(group.storage, "StopTarget");
  await group.untilState(group.storage, "Target");
  network.delayMs = 0;
  await writer.write(10);
  await group.compareSnapshot();
  await controller.command("stop", [VOLUME], "accept");
  await group.untilState(group.storage, "Stopped");
});

test("a volume that is not there any more is named by who should back it up", async () => {
  await using group = await Group.start({
    archives: 0,
    proxies: 0,
    archivePort: () => 1,
    proxyPorts: () => [1],
  });
  const { controller } = group.storage;
  await controller.volumes(["create", "v2", "1M", "1M"]);
  await controller.command("init-vol", ["v2", "/dev/walb/v2"], "ok");
  expect(group.storage.role.notReady()).toEqual([]);
  await group.storage.stop();
  const volumes = join(group.directory, "s0/volumes");
  renameSync(join(volumes, "v2"), join(volumes, "v3"));
  await group.storage.start();
  expect(group.storage.role.notReady()).toEqual([
    "v2 cannot be backed up: the volume /dev/walb/v2 is not there",
  ]);
});
