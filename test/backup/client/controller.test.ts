/** The controller's library, a script and a shell session against servers. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseMoment } from "../../../src/backup/client/points.ts";
import { cli, temporaryDirectory } from "../../cli/helpers.ts";
import { Group, isState } from "../group.ts";
import { VOLUME } from "../servers.ts";

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

test("apply, merge, snapshots and their refusals are verified, not only asked for", async () => {
  await using group = new Group(join(place.path, "steps"), 1);
  const a0 = await group.archive("a0");
  await group.proxy("p0");
  const storage = await group.copied(a0);
  for (let index = 0; index < 6; index++) {
    storage.write(4);
    await group.point(a0, storage);
  }
  const { walbc, server } = group.library(["a0"]);
  const ax = server("a0");
  expect(await walbc.get_restorable_gid(ax, VOLUME)).toEqual([1n, 2n, 3n, 4n, 5n, 6n]);
  await walbc.disable_snapshot(ax, VOLUME, [3, 4]);
  await walbc.merge(ax, VOLUME, 2, 5);
  expect(await walbc.get_num_diff(ax, VOLUME)).toBe(4);
  expect((await walbc.get_applicable_diff_list(ax, VOLUME)).map(({ to }) => to.begin)).toEqual([
    1n,
    2n,
    5n,
    6n,
  ]);
  await walbc.apply(ax, VOLUME, 2);
  expect((await walbc.get_base(ax, VOLUME)).to).toEqual({ begin: 2n, end: 2n });
  await expect(walbc.apply(ax, VOLUME, 3)).rejects.toThrow("vol1 is not restorable at 3");
  await expect(walbc.merge(ax, VOLUME, 3, 5)).rejects.toThrow("3 is no end of a diff");
  await walbc.restore(ax, VOLUME, 5);
  expect(await walbc.get_restored(ax, VOLUME)).toEqual([5n]);
  await walbc.del_restored(ax, VOLUME, 5);
  expect(await walbc.get_latest_snapshot_info(ax)).toEqual(new Map([[VOLUME, 6n]]));
  expect(await walbc.get_latest_clean_snapshot(ax, VOLUME)).toBe(6n);
  expect(
    (await walbc.get_vol_dict_without_running_actions(ax)).get(VOLUME)?.Apply?.timestamp,
  ).toBeGreaterThan(0);
  await walbc.verify_not_restorable(ax, VOLUME, 9, 0.02);
  await expect(walbc.verify_not_restorable(ax, VOLUME, 6, 5)).rejects.toThrow("is restorable at 6");
  expect(await walbc.get_alive_server()).toEqual(["p0", "a0"]);
  await walbc.get_state_all(VOLUME);
  expect(group.printed.join("")).toMatch(/^p0 127.0.0.1:\d+ Clear\na0 127.0.0.1:\d+ Archived\n$/);
  await walbc.clear(ax, VOLUME);
  await isState(a0, "Clear");
});

test("a restore by the clock takes the newest point that is not later", async () => {
  await using group = new Group(join(place.path, "moments"), 300);
  const a0 = await group.archive("a0");
  const storage = await group.copied(a0);
  const times = ["2026-11-22T08:00:00", "2026-11-22T09:00:00", "2026-11-22T10:00:00"];
  for (const time of times) {
    storage.write(3);
    const shipment = storage.snapshot();
    shipment.diff.timestamp = Date.parse(`${time}Z`) / 1000;
    await storage.shipAsProxy({ host: "127.0.0.1", port: a0.port }, shipment);
  }
  const walb = (...words: string[]) =>
    cli(["walb", "restore", "-a", "127.0.0.1", "-p", String(a0.port), ...words]);
  expect(await walb(VOLUME, "at", "2026-11-22T10:30:00+01:00")).toMatchObject({ code: 0, stdout: "2\n" });
  const { walbc, server } = group.library(["a0"], []);
  await walbc.wait_for_restored(server("a0"), VOLUME, 2n);
  expect(await walbc.restore_at(server("a0"), VOLUME, "2026-11-22T08:00:00Z")).toBe(1n);
  expect(await walbc.restore_at(server("a0"), VOLUME, "-0")).toBe(3n);
  expect(await walbc.get_restored(server("a0"), VOLUME)).toEqual([1n, 2n, 3n]);
  const early = await walb(VOLUME, "at", "2026-11-22T07:59:59");
  expect(early.stderr).toContain("no point at or before 2026-11-22T07:59:59");
  expect(early.stderr).toContain("its first one is of 2026-11-22T08:00:00");
  expect((await walb(VOLUME, "at", "yesterday")).code).toBe(64);
});

test("moments are those of the calendar, with an offset, or so long ago", () => {
  const seconds = (text: string) => Date.parse(text) / 1000;
  for (const [text, moment] of [
    ["2026-11-22T08:22:06", seconds("2026-11-22T08:22:06Z")],
    ["2026-11-22T08:22:06Z", seconds("2026-11-22T08:22:06Z")],
    ["2026-11-22T08:22:06+05:30", seconds("2026-11-22T02:52:06Z")],
    ["2026-11-22T22:22:06-08:00", seconds("2026-11-23T06:22:06Z")],
    ["2028-02-29T00:00:00+01:00", seconds("2028-02-28T23:00:00Z")],
    ["-90m", 1_000_000 - 5400],
    ["2026-02-30T00:00:00+01:00", undefined],
    ["2026-02-30T00:00:00", undefined],
    ["2026-11-22T08:22:06+24:00", undefined],
    ["2026-11-22T24:00:00Z", undefined],
    ["2026-11-22", undefined],
    ["-", undefined],
  ] as const)
    expect([text, parseMoment(text, 1_000_000)]).toEqual([text, moment]);
});

test("forwarding of only some proxies is told; copying it brings the others into line", async () => {
  await using group = new Group(join(place.path, "forwarding"), 100);
  const [a0, p0] = [await group.archive("a0"), await group.proxy("p0")];
  await group.proxy("p1");
  await group.backedUp(a0, p0);
  const { walbc, server } = group.library(["a0"], ["p0", "p1"]);
  await expect(walbc.is_synchronizing(server("a0"), VOLUME)).rejects.toThrow("only p0 forward vol1 to a0");
  await walbc.copy_archive_info(server("p0"), VOLUME, server("p1"));
  expect(await walbc.is_synchronizing(server("a0"), VOLUME)).toBe(true);
  expect(await walbc.get_archive_info(server("p1"), VOLUME, server("a0"))).toMatch(
    /^127.0.0.1:\d+ snappy:0:1 0$/,
  );
});

test("a script and a shell session have the library and the exports of the configuration", async () => {
  await using group = new Group(join(place.path, "script"), 200);
  const a0 = await group.archive("a0");
  await group.copied(a0);
  const config = join(place.path, "config.ts");
  writeFileSync(
    config,
    `import { Controller, K_ARCHIVE, Server, ServerLayout } from "node-x/walb";
     export const a0 = new Server("a0", "127.0.0.1", ${a0.port}, K_ARCHIVE, "", "/x");
     export const walbc = new Controller("", new ServerLayout([], [], [a0]));`,
  );
  const script = join(place.path, "script.ts");
  writeFileSync(
    script,
    `import { a0, walbc } from "./config.ts";
     export default async ([vol]: string[]) => \`\${vol} is \${await walbc.get_state(a0, vol)}\`;`,
  );
  expect(await cli(["walb", "script", script, VOLUME])).toMatchObject({
    code: 0,
    stdout: "vol1 is Archived\n",
  });
  const lines = [
    `walbc.get_state(a0, "${VOLUME}")\n`,
    `const blocks = await walbc.get_vol_size_lb(a0, "${VOLUME}");\nblocks * 51`,
    "2\n\nfor (const n of [1, 2]) total = (typeof total === 'number' ? total : 0) + n;\ntotal\nexit\nnever",
  ];
  expect(await cli(["walb", "shell", config], { stdin: lines })).toMatchObject({
    code: 0,
    stdout: "Archived\n2048\n1048576\n3\n",
  });
  const failing = await cli(["walb", "shell", config], { stdin: ["walbc.get_base(a0, 'nosuch')\n1 + 1\n"] });
  expect(failing).toMatchObject({ code: 1, stdout: "2\n" });
  expect(failing.stderr).toContain("error: ");
  expect((await cli(["walb", "script", join(place.path, "missing.ts")])).code).toBe(65);
});
