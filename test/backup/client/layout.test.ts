/** The layout classes of the controller's library, and the seed's example as it is in configs/. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import {
  K_ARCHIVE,
  K_PROXY,
  K_STORAGE,
  Server,
  ServerConnectionParam,
  ServerLayout,
  ServerStartupParam,
} from "../../../src/backup/client/group/layout.ts";
import {
  CompressOpt,
  parseDiff,
  parseGidInfo,
  parseMetaState,
  SyncOpt,
} from "../../../src/backup/client/group/texts.ts";
import { diffText, stateText } from "../../../src/backup/algebra/snapshot.ts";
import { cli } from "../../cli/helpers.ts";

const server = (name: string, kind: 0 | 1 | 2, ...more: string[]) =>
  new Server(
    name,
    `host-${name}`,
    10_000 + kind,
    kind,
    "/opt/",
    `/var/walb/${name}`,
    `/var/log/${name}.log`,
    ...more,
  );

test("the first archive is primary, and a server is in the list of its kind", () => {
  const [s0, p0, a0, a1] = [
    server("s0", K_STORAGE),
    server("p0", K_PROXY),
    server("a0", K_ARCHIVE, "vg0"),
    server("a1", K_ARCHIVE, "vg0", "tp0"),
  ];
  const layout = new ServerLayout([s0], [p0], [a0, a1]);
  expect(layout.get_primary_archive()).toBe(a0);
  expect(layout.get_all()).toEqual([s0, p0, a0, a1]);
  expect(layout.replace({ archiveL: [a1] }).get_primary_archive()).toBe(a1);
  expect(() => new ServerLayout([p0], [], [])).toThrow("p0 is a proxy, in the list of storage servers");
  expect(() => new ServerLayout([s0], [], []).verify()).toThrow("0 proxy servers, at least 1");
  expect(() => new Server("x", "h", 1, 7 as 0, "", "")).toThrow("the kind 7 is none");
});

test("every server's command line", () => {
  const a1 = server("a1", K_ARCHIVE, "vg0");
  a1.tp = "tp0";
  const p1 = new ServerStartupParam(new ServerConnectionParam("p1", "hostP1", 9, K_PROXY), "", "/p 1");
  const layout = new ServerLayout([server("s0", K_STORAGE)], [server("p0", K_PROXY), p1], [a1]);
  expect(layout.to_cmd_string().split("\n")).toEqual([
    "/opt/walb-storage -archive host-a1:10002 -proxy host-p0:10001,hostP1:9 -p 10000 -b /var/walb/s0 -l /var/log/s0.log -id s0 -fg 2 -bg 1",
    "/opt/walb-proxy -p 10001 -b /var/walb/p0 -l /var/log/p0.log -id p0 -fg 2 -bg 1",
    "walb-proxy -p 9 -b '/p 1' -l '/p 1/p1.log' -id p1 -fg 2 -bg 1",
    "/opt/walb-archive -vg vg0 -tp tp0 -p 10002 -b /var/walb/a1 -l /var/log/a1.log -id a1 -fg 2",
    "",
  ]);
  const bare = new ServerLayout([], [], [new ServerConnectionParam("a0", "h", 1, K_ARCHIVE)]);
  expect(() => bare.to_cmd_string()).toThrow("does not say how the server is started");
});

test("the example configuration, translated, prints the seed's command lines", async () => {
  const file = join(import.meta.dir, "../../../configs/walb-config.ts");
  const { code, stdout, stderr } = await cli(["walb", "script", file, "-c", "sLayout.to_cmd_string()"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout.split("\n")).toEqual([
    "/usr/local/bin/walb-storage -archive hostA0:10000 -proxy hostP0:10000 -p 10000 -b /var/walb/s0/ -l /var/walb/s0.log -id s0 -fg 2 -bg 1",
    "/usr/local/bin/walb-proxy -p 10000 -b /var/walb/p0/ -l /var/walb/p0.log -id p0 -fg 2 -bg 1",
    "/usr/local/bin/walb-archive -vg vg0 -p 10000 -b /var/walb/a0/ -l /var/walb/a0.log -id a0 -fg 2",
    "",
  ]);
});

test("what servers print is read back", () => {
  for (const text of ["|0|-->|1| -- 2026-11-22T08:22:06 4128", "|9|-->|9,10| MC 2026-11-22T08:22:06 0"])
    expect(() => parseDiff(text)).not.toThrow();
  const text = "|8|-->|9,10| M- 2026-11-22T08:22:06 21119";
  expect(diffText(parseDiff(text))).toBe(text);
  for (const state of ["<|5|>-20261122082206", "<|0,1|-->|7|>-20261122082206"])
    expect(stateText(parseMetaState(state))).toBe(state);
  expect(parseGidInfo("4 2026-11-22T08:22:06 1")).toEqual({
    gid: 4n,
    timestamp: 1795335726,
    isExplicit: true,
  });
  expect(() => parseDiff("nonsense")).toThrow('"nonsense" is no diff');
  expect(String(new SyncOpt({ cmprOpt: new CompressOpt("zstd", 3, 2) }).cmprOpt)).toBe("zstd:3:2");
});
