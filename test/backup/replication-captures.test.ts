/** Recorded replications of the original: our archive as the target, then as the source, every byte as it was. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../cli/helpers.ts";
import { conversationsOf, playServer, replay, type Step } from "./captures.ts";
import { Group, isState, settled } from "./group.ts";
import { VOLUME } from "./servers.ts";

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

const [full, nothing, diff, hash, afterReset, resync] = [
  "repl-full.txt",
  "repl-nothing.txt",
  "repl-diff.txt",
  "repl-hash.txt",
  "repl-full-after-reset.txt",
  "repl-resync.txt",
].map((name) => conversationsOf(name)[0] as Step[]) as [Step[], Step[], Step[], Step[], Step[], Step[]];

/** What the controller asked the recorded target, in its order. */
const [init, stop, reset, stopAgain, setUuid, start] = conversationsOf("ctl-archive2-commands.txt") as [
  Step[],
  Step[],
  Step[],
  Step[],
  Step[],
  Step[],
];
const [state, diffsOfFull, base, points, diffsOfHash, allPoints, stateAfterReset] = conversationsOf(
  "ctl-archive2-get.txt",
) as [Step[], Step[], Step[], Step[], Step[], Step[], Step[]];

test("an archive answers recorded replications as the original did", async () => {
  await using group = new Group(join(place.path, "target"), 1);
  const a1 = await group.archive("a1");
  const play = async (...conversations: Step[][]) => {
    for (const steps of conversations) await replay(group.world(), a1.port, steps);
  };
  await play(init, full, state, diffsOfFull, base, diff, nothing, points, hash, diffsOfHash, allPoints);
  expect(await a1.controller.get("meta-snap", VOLUME)).toBe("|8|");
  await play(stop);
  await isState(a1, "Stopped");
  await play(reset, stateAfterReset, afterReset, stopAgain);
  await isState(a1, "Stopped");
  await play(setUuid, start, resync);
  expect(await a1.controller.get("meta-snap", VOLUME)).toBe("|11|");
  const refused = conversationsOf("errors.txt").filter((steps) =>
    steps.some(({ comment }) => comment.includes("resync is required")),
  );
  expect(refused).toHaveLength(1);
  for (const steps of refused) await play(steps);
});

test("an archive replicates as the original did: every byte that it sends", async () => {
  await using group = new Group(join(place.path, "source"), 1);
  let a0 = await group.archive("a0");
  await a0.controller.command("init-vol", [VOLUME], "ok");
  for (const steps of conversationsOf("full-sync.txt")) await replay(group.world(), a0.port, steps);
  const diffs = conversationsOf("wdiff-transfer.txt").slice(1);
  for (const steps of diffs.slice(0, 4)) await replay(group.world(), a0.port, steps);
  // The lineage was made by chance; the recorded one takes its place.
  await group.stop("a0");
  rmSync(group.pathOf("a0", "checksums"));
  writeFileSync(group.pathOf("a0", "archive_uuid"), Buffer.from("2e20f0ee462ef9d2b096dabf9a039a70", "hex"));
  a0 = await group.archive("a0");
  const send = async (steps: Step[], gid: string) => {
    const { port, done } = await playServer(group.world(), steps);
    const words = [VOLUME, "gid", gid, `127.0.0.1:${port}`, "0", "0", "snappy:0:1", "1G", "64K"];
    await a0.controller.command("replicate", words, "accept");
    await done;
    await settled(a0, "ReplSyncAsClient");
  };
  await send(full, "4");
  const more = conversationsOf("wdiff-transfer-more.txt");
  for (const steps of [...diffs.slice(4, 5), ...more.slice(0, 2), ...diffs.slice(5)])
    await replay(group.world(), a0.port, steps);
  await send(diff, "6");
  await send(nothing, "6");
});
