/** What could leave a volume that looks well and ships nothing: it ships on, or says why it does not. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { renameSync } from "node:fs";
import { join } from "node:path";
import { Controller } from "../../../src/backup/client/controller.ts";
import { realClock } from "../../../src/core/seams/clock.ts";
import type { Net } from "../../../src/core/seams/net.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { Writer as WireWriter } from "../../../src/backup/wire/serial.ts";
import { Repeater } from "../repeater.ts";
import { VOLUME } from "../servers.ts";
import { Group, until, Writer } from "./cluster.ts";

setDefaultTimeout(60_000);

/** For a transfer a stop waits a minute, which is over here when the test says so. */
class Minutes {
  readonly #waiting: (() => void)[] = [];
  readonly clock = {
    ...realClock,
    after: (ms: number, run: () => void) => {
      if (ms !== 60_000) return realClock.after(ms, run);
      this.#waiting.push(run);
      return { cancel: () => undefined };
    },
  };

  get waiting(): number {
    return this.#waiting.length;
  }

  pass(): void {
    for (const run of this.#waiting.splice(0)) run();
  }
}

test("a stop that is given up, because a transfer takes too long, leaves a volume that ships on", async () => {
  const minutes = new Minutes();
  let repeater: Repeater | undefined;
  const proxyPorts = (group: Group) => [(repeater ??= new Repeater(group.proxy.port)).port];
  const storageConfig = { socketTimeoutMs: 59_000 };
  await using group = await Group.start({ world: { clock: minutes.clock }, proxyPorts, storageConfig });
  using network = repeater as unknown as Repeater;
  await group.initStorage();
  await group.backup("full-bkp");
  await group.compareSnapshot();
  // Nothing arrives any more, and no side hears of an end.
  network.delayMs = 3_600_000;
  const writer = new Writer(3, () => group.client());
  await writer.write(10);
  const { controller } = group.storage;
  await until("a transfer runs", async () => (await controller.get("num-action", VOLUME, "WlogSend")) === 1n);
  await controller.command("stop", [VOLUME], "accept");
  await group.untilState(group.storage, "StopTarget");
  await until("the stop waits for it", () => minutes.waiting > 0);
  minutes.pass();
  await group.untilState(group.storage, "Target");
  network.delayMs = 0;
  network.cut();
  await writer.write(10);
  await group.compareSnapshot();
  await controller.command("stop", [VOLUME], "accept");
  await group.untilState(group.storage, "Stopped");
});

test("a host that is gone, which refuses no connection and takes none, holds nobody up for long", async () => {
  const { net, clock } = realWorld();
  let gone = 0;
  const connect: Net["connect"] = (options) =>
    options.port === gone ? new Promise(() => undefined) : net.connect(options);
  const storageConfig = { socketTimeoutMs: 2000, heartbeatMs: 60_000 };
  await using group = await Group.start({ proxies: 2, storageConfig, world: { net: { ...net, connect } } });
  await group.initStorage();
  await group.backup("full-bkp");
  await group.compareSnapshot();
  gone = group.proxy.port;
  const writer = new Writer(5, () => group.client());
  await writer.write(10);
  await group.compareSnapshot();
  const at = { host: "127.0.0.1", port: gone, clientId: "ctl", timeoutMs: 50 };
  const asked = new Controller({ net: group.world.net, clock, ...at }).get("pid");
  await expect(asked).rejects.toThrow(`127.0.0.1:${gone} did not answer for 0.05 s`);
});

test("a proxy that answers nonsense is passed over", async () => {
  const nonsense = new WireWriter().text("p0").text("ok").text("accept").u32(5).bytes;
  let asked = 0;
  const mad = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => {
        asked += 1;
        socket.write(nonsense);
      },
      data: () => undefined,
    },
  });
  const proxyPorts = (group: Group) => [mad.port, group.proxy.port];
  await using group = await Group.start({ proxyPorts, storageConfig: { heartbeatMs: 3_600_000 } });
  await group.initStorage();
  await group.backup("full-bkp");
  await group.compareSnapshot();
  expect(asked).toBeGreaterThan(0);
  mad.stop(true);
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
