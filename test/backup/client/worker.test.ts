/** `walb-worker`: the original's YAML file, and what a worker makes an archive do. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseWorkerConfig } from "../../../src/backup/client/worker/config.ts";
import { seededRandom } from "../../../src/core/seams/random.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { cli, temporaryDirectory } from "../../cli/helpers.ts";
import { at, gidsOf } from "../group.ts";
import { type Running, startArchive, TestStorage, VOLUME } from "../servers.ts";

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

const world = () => ({ ...realWorld(), random: seededRandom(23) });

const yaml = (port: number, replicaPort: number) => `
general:
  addr: 127.0.0.1
  port: ${port}
  walbc_path: /usr/bin/walbc
  max_task: 1
  max_replication_task: 1
  kick_interval: 1
apply:
  keep_period: 14d
  interval: 1d
merge:
  interval: 0
  max_nr: 10
  max_size: 1G
  threshold_nr: 5
repl:
  servers:
    second:
      addr: 127.0.0.1
      port: ${replicaPort}
      interval: 00:30:00
      compress: snappy:3:4
      max_merge_size: 5K
      max_send_size: 0
      bulk_size: 40K
      log_name: second.log
      enabled: true
    third: { addr: 127.0.0.1, port: 2, interval: 1d, enabled: false }
  disabled_volumes:
    - other
`;

describe("the YAML file of walb-worker", () => {
  test("is read as it is: sections, periods, sizes, defaults, replicas that are switched off", () => {
    const config = parseWorkerConfig("worker.yaml", yaml(5000, 5001));
    expect(config.archive).toEqual({ host: "127.0.0.1", port: 5000 });
    expect(config.rules.apply).toEqual({ olderThanSeconds: 14 * 86_400, intervalSeconds: 86_400 });
    expect(config.rules.merge).toEqual({ intervalSeconds: 0, thresholdDiffs: 5, diffsMax: 10, bytesMax: 2 ** 30 });
    expect(config.rules.replicas).toEqual([{ name: "second", intervalSeconds: 1800, disabledVolumes: ["other"] }]);
    expect(config.replicas[0]?.words).toEqual(["0", "0", "snappy:3:4", "5K", "40K"]);
  }); // prettier-ignore

  test.each([
    ["general: { addr: a, port: 1, walbc_path: w, colour: red }", "general: Unrecognized key"],
    ["general: { addr: a, port: 1, walbc_path: w }\nmerge: { interval: often }", "merge.interval: wanted a period"],
    ["apply: { keep_period: 1d }", "general"],
    ["a: [", "this is no YAML"],
  ])("names the place of what is wrong (%#)", (text, wanted) => {
    expect(() => parseWorkerConfig("worker.yaml", text)).toThrow(wanted);
  }); // prettier-ignore
});

test("a worker says what is due, merges what is mergeable, brings the second archive up to date, and ends", async () => {
  await using first = await startArchive(world(), { dataDir: join(place.path, "a0") });
  await using second = await startArchive(world(), { dataDir: join(place.path, "a1"), instance: "a1" });
  const storage = new TestStorage(world(), 512);
  await first.controller.command("init-vol", [VOLUME], "ok");
  await second.controller.command("init-vol", [VOLUME], "ok");
  await storage.fullSync(at(first.port));
  for (let gid = 0; gid < 6; gid++) {
    storage.write(3);
    await storage.shipAsProxy(at(first.port), storage.snapshot(true));
  }
  const diffs = async ({ controller }: Running) =>
    ((await controller.get("diff", VOLUME)) as string[]).length;
  expect(await diffs(first)).toBe(6);
  const file = join(place.path, "worker.yaml");
  writeFileSync(file, yaml(first.port, second.port));
  const worker = (...words: string[]) => cli(["walb", "worker", "-f", file, ...words]);
  expect((await worker("-no")).stdout).toMatch(new RegExp(` merge ${VOLUME} \\d+ gid \\d+\n$`));
  expect(await diffs(first)).toBe(6);
  expect((await worker("-step")).code).toBe(0);
  expect(await diffs(first)).toBeLessThan(6);
  // There are fewer than the threshold: the replica comes next.
  expect((await worker("-step")).stdout).toContain(` replicate ${VOLUME} gid 6 127.0.0.1:${second.port} 0 0`);
  expect((await gidsOf(second)).at(-1)).toBe((await gidsOf(first)).at(-1) as string);
  expect((await worker("-lifetime", "1")).code).toBe(0);
  expect((await cli(["walb", "worker"])).stderr).toContain("-f FILE is missing");
});
