/** Recorded conversations of the original, replayed against servers of ours: every answer byte for byte. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { memorySource } from "../../src/backup/formats/bytes.ts";
import { endPack, openDiff } from "../../src/backup/formats/diff-merge.ts";
import { writeWdiffHeader } from "../../src/native/blocks.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { temporaryDirectory } from "../cli/helpers.ts";
import { conversationsOf, replay, type Step } from "./captures.ts";
import { controllerOf, type Running, startArchive, startProxy, VOLUME } from "./servers.ts";
import { applied } from "./vectors.ts";

const world = () => ({ ...realWorld(), random: seededRandom(5) });
let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

async function replayAll(running: Running, conversations: readonly Step[][]): Promise<void> {
  for (const steps of conversations) await replay(world(), running.port, steps);
}

/** Conversations whose first request says this, with the opening before it. */
const about = (conversations: Step[][], ...words: string[]) =>
  conversations.filter((steps) =>
    words.some((word) => steps.some(({ from, comment }) => from === "client" && comment.includes(word))),
  );

describe("an archive", () => {
  test("answers a full copy, diffs, questions, hashes and a hash comparison as the original did", async () => {
    mkdirSync(join(place.path, "a0"));
    await using archive = await startArchive(world(), { dataDir: join(place.path, "a0") });
    await archive.controller.command("init-vol", [VOLUME], "ok");
    await replayAll(archive, conversationsOf("full-sync.txt"));
    const diffs = conversationsOf("wdiff-transfer.txt").slice(1);
    await replayAll(archive, diffs.slice(0, 4));

    // Questions at gid 4. What names our host is left out.
    const questions = conversationsOf("ctl-archive-get.txt").filter(
      (steps) =>
        !steps.some(({ comment }) =>
          /'(archive-uuid|volume-group|thinpool|pid|handler-stat|host-type|vol|ts-delta|vol-size|cold)'/.test(
            comment,
          ),
        ),
    );
    const atFour = questions.slice(0, 18);
    expect(atFour.length).toBe(18);
    await replayAll(
      archive,
      about(
        atFour,
        "'diff'",
        "'applicable-diff'",
        "'num-diff'",
        "'total-diff-size'",
        "'exists-diff'",
        "'exists-base-image'",
        "'restored'",
        "'restorable'",
        "'uuid'",
        "'base'",
        "'base-all'",
        "'meta-snap'",
        "'meta-state'",
        "'latest-snap'",
        "'num-action'",
        "'all-actions'",
        "'state'",
      ),
    );
    await replayAll(archive, conversationsOf("bhash.txt"));
    await replayScan(archive, conversationsOf("virt-full-scan.txt")[0] as Step[]);

    const more = conversationsOf("wdiff-transfer-more.txt");
    await replayAll(archive, [...diffs.slice(4, 5), ...more.slice(0, 2), ...diffs.slice(5)]);
    await replayAll(archive, conversationsOf("hash-sync.txt"));
    await replayAll(archive, more.slice(2));
    const gathered = conversationsOf("ctl-archive-commands.txt").filter((steps) =>
      steps.some(({ comment }) => comment.includes("gather-latest-snap")),
    );
    await replayAll(archive, gathered.slice(0, 2));

    // Refusals that need nothing but this state.
    const errors = conversationsOf("errors.txt");
    const refused = /different-uuid|smaller-lv-size|bad state:Clear|bad hostType/;
    const diffRefusals = about(errors, "|11|-->|12|").filter((steps) =>
      steps.some(({ comment }) => refused.test(comment)),
    );
    // A later one was recorded when the volume had yet another uuid.
    await replayAll(archive, diffRefusals.slice(0, 4));
    const others = about(errors, "|0|-->|1|", "|16|-->|17|", "'9999'", "nosuch-proto", "version 2").filter(
      (steps) => !steps.some(({ comment }) => /SyncReady|syncing|wdiff-recv|"stopped"/.test(comment)),
    );
    expect(others.length).toBeGreaterThan(4);
    await replayAll(archive, others);
    await replayAll(archive, conversationsOf("dirty-hash-sync2-more.txt"));
    expect(await archive.controller.get("meta-snap", VOLUME)).toBe("|12,13|");
  });
});

/** The scan's stored bulks may be compressed in other words than ours: the content is compared. */
async function replayScan({ port }: Running, steps: Step[]): Promise<void> {
  const bulks: string[] = [];
  await controllerOf(world(), "127.0.0.1", port).scan(
    [VOLUME, "4", "64K"],
    65536,
    async (bulk) => void bulks.push(Bun.hash(bulk).toString()),
  );
  const { Codec } = await import("../../src/native/blocks.ts");
  const codec = new Codec();
  const recorded = steps
    .filter(({ comment }) => comment.startsWith("next, stored size"))
    .map(({ bytes, comment }) => {
      const bulk = new Uint8Array(65536);
      const size = Number(comment.match(/\d+/)?.[0]);
      if (size > 0) expect(codec.decode(2, bytes.subarray(bytes.byteLength - size), bulk)).toBe(true);
      return Bun.hash(bulk).toString();
    });
  codec.close();
  expect(bulks).toEqual(recorded);
}

describe("a proxy", () => {
  test("takes recorded logs, and its diffs have the content of the recorded ones", async () => {
    mkdirSync(join(place.path, "p0"));
    await using proxy = await startProxy(world(), { dataDir: join(place.path, "p0") });
    const forwarding = {
      archive: { host: "127.0.0.1", port: 1 },
      compression: { id: 2, level: 0, threads: 1 },
      delaySeconds: 0,
    };
    await proxy.controller.changeForwarding("add", VOLUME, "a0", forwarding);
    await proxy.controller.command("start", [VOLUME], "ok");
    const logs = conversationsOf("wlog-transfer.txt");
    await replayAll(proxy, logs);
    const sent = conversationsOf("wdiff-transfer.txt").slice(1);
    const lines = (await proxy.controller.get("proxy-diff", VOLUME)) as string[];
    expect(lines).toHaveLength(logs.length);
    for (const [index, steps] of sent.entries()) {
      const name = lines[index]
        ?.match(/^\|(\d+)\|-->\|(\d+)\|/)
        ?.slice(1)
        .join("-");
      const queue = join(place.path, "p0/proxy", VOLUME, "sendto/a0");
      const [file = ""] = [...new Bun.Glob(`*-${name}.wdiff`).scanSync({ cwd: queue })];
      const ours = await openDiff(memorySource(file, readFileSync(join(queue, file))));
      // The size that the original announced is that of its own indexed diff.
      const announced = Number(
        steps.find(({ comment }) => comment.includes("Diff |"))?.comment.match(/size (\d+)/)?.[1],
      );
      expect(ours.source.bytes).toBe(announced);
      const packs = steps.filter(({ comment }) => comment.startsWith("next, pack of"));
      const sorted = Buffer.concat([
        writeWdiffHeader("sorted", ours.uuid),
        ...packs.map(({ bytes, comment }) =>
          bytes.subarray(bytes.byteLength - Number(comment.match(/pack of (\d+)/)?.[1])),
        ),
        endPack(),
      ]);
      const image = Buffer.alloc(1 << 20, 0xee);
      const recorded = await applied(image, [await openDiff(memorySource("recorded", sorted))]);
      expect((await applied(image, [ours])).equals(recorded)).toBe(true);
    }
    const more = conversationsOf("wlog-transfer-more.txt");
    await replayAll(proxy, more);
    expect(await proxy.controller.get("proxy-diff", VOLUME)).toHaveLength(logs.length + more.length);
  });

  test("answers a controller's commands and questions as the original did", async () => {
    mkdirSync(join(place.path, "p1"));
    await using proxy = await startProxy(world(), { dataDir: join(place.path, "p1"), instance: "p0" });
    const [, add, list, get, start, status, , kick, stop, startAgain] = conversationsOf(
      "ctl-proxy-commands.txt",
    ) as Step[][];
    const questions = conversationsOf("ctl-proxy-get.txt");
    const kinds = new Map(questions.map((steps) => [steps.map(({ comment }) => comment).join(), steps]));
    // A status of servers and one with times have words that are other ones here.
    const isStopped = (steps: Step[]) => steps.some(({ comment }) => comment === 'value "Stopped"');
    const begin = [add, list, get, start, status] as Step[][];
    await replayAll(proxy, begin);
    const whileStarted = [...kinds.values()].filter((steps) => !isStopped(steps));
    expect(whileStarted).toHaveLength(5);
    await replayAll(proxy, [...whileStarted, kick as Step[], stop as Step[]]);
    const stopped = [...kinds.values()].filter(isStopped);
    expect(stopped).toHaveLength(1);
    while ((await proxy.controller.get("state", VOLUME)) !== "Stopped") await Bun.sleep(5);
    await replayAll(proxy, [...stopped, startAgain as Step[]]);
  });
});
