/**
 * Hostile peers: recorded conversations with bytes changed, cut and repeated, and bytes by chance, against an archive and a
 * proxy. Nothing crashes, nothing is served that is wrong, and afterwards everyone is served as before.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Conversation } from "../../src/backup/wire/conversation.ts";
import { seededRandom, type Random } from "../../src/core/seams/random.ts";
import { temporaryDirectory } from "../cli/helpers.ts";
import { conversationsOf } from "./captures.ts";
import { at, Group } from "./group.ts";
import { VOLUME } from "./servers.ts";

setDefaultTimeout(60_000);
let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => {
  place = temporaryDirectory();
});
afterAll(() => place.remove());

const ROUNDS = 150;
const SEED = 20_261_125;

/** What recorded clients have said, one text for each conversation. */
const said = [
  "full-sync.txt",
  "hash-sync.txt",
  "wdiff-transfer.txt",
  "wlog-transfer.txt",
  "repl-full.txt",
  "repl-diff.txt",
  "repl-hash.txt",
  "repl-resync.txt",
  "ctl-archive-commands.txt",
  "ctl-proxy-commands.txt",
  "gather-latest-snap.txt",
].flatMap((name) =>
  conversationsOf(name).map((steps) => ({
    // A resync that is asked for replaces what is there: that is its right, so another archive is for these.
    isReplication: name.startsWith("repl-"),
    bytes: Buffer.concat(steps.filter(({ from }) => from === "client").map(({ bytes }) => bytes)),
  })),
);

/** Commands that stop or change the volume on purpose are not hostile. */
const isHarmless = (bytes: Buffer) =>
  !/shutdown|clear-vol|reset-vol|init-vol|dbg-set|stop|start|apply|merge|resize|archive-info/.test(
    bytes.toString("latin1"),
  );

function mutated(recorded: Buffer, random: Random): Buffer {
  const bytes = Buffer.from(recorded);
  const kind = random.integer(6);
  if (kind === 0) return Buffer.from(random.bytes(1 + random.integer(600)));
  if (kind === 1) return bytes.subarray(0, random.integer(bytes.byteLength));
  if (kind === 2) return Buffer.concat([bytes, bytes]);
  const from = random.integer(2) === 0 ? 0 : Math.min(40, bytes.byteLength - 1);
  for (let changes = 1 + random.integer(4); changes > 0; changes--) {
    const place = from + random.integer(Math.min(200, bytes.byteLength - from));
    bytes[place] = kind === 3 ? random.integer(256) : (bytes[place] as number) ^ (1 << random.integer(8));
  }
  return bytes;
}

test("whatever peers send, an archive and a proxy go on, and what they had is what it was", async () => {
  console.log(`seed ${SEED}`);
  await using group = new Group(join(place.path, "group"), 1);
  const limits = { connectionsMax: 500, foregroundMax: 100, socketTimeoutMs: 300 };
  const [a0, p0] = [await group.archive("a0", limits), await group.proxy("p0", limits)];
  const a1 = await group.archive("a1", limits);
  await a1.controller.command("init-vol", [VOLUME], "ok");
  const storage = await group.copied(a0);
  storage.write(5);
  await group.point(a0, storage);
  const hash = async () => Buffer.from(await a0.controller.blockHash([VOLUME, "1"])).toString("hex");
  const before = await hash();
  const random = seededRandom(SEED);
  const world = group.world();
  for (let round = 0; round < ROUNDS; round++) {
    const chosen = said[random.integer(said.length)] as (typeof said)[number];
    const bytes = mutated(chosen.bytes, random);
    if (!isHarmless(bytes)) continue;
    const { port } = chosen.isReplication ? a1 : random.integer(3) === 0 ? p0 : a0;
    const conversation = await Conversation.connect(world.net, "127.0.0.1", port, {
      clock: world.clock,
      timeoutMs: 200,
    });
    await conversation.send(bytes).catch(() => undefined);
    conversation.end();
    if (round % 10 === 0) await conversation.closed();
  }
  expect(await a0.controller.get("host-type")).toBe("archive");
  expect(await a1.controller.get("host-type")).toBe("archive");
  expect(await p0.controller.get("host-type")).toBe("proxy");
  // A transfer that is under way is cut by its silence.
  while ((await a0.controller.get("state", VOLUME)) !== "Archived") await Bun.sleep(5);
  expect(await hash()).toBe(before);
  storage.write(5);
  await storage.hashSync(at(a0.port));
  const gid = await group.point(a0, storage);
  await group.expectImage(a0, gid, storage.image);
});

test("a peer that opens a conversation byte by byte does not keep a place for itself", async () => {
  await using group = new Group(join(place.path, "slow"), 2);
  const a0 = await group.archive("a0", { connectionsMax: 1, socketTimeoutMs: 500 });
  const { net, clock } = group.world();
  const slow = await Conversation.connect(net, "127.0.0.1", a0.port, { clock, timeoutMs: 10_000 });
  const word = Buffer.concat([Buffer.from([127]), Buffer.alloc(127, "x")]);
  let sent = 0;
  const drip = clock.every(50, () => {
    if (sent < word.byteLength) void slow.send(word.subarray(sent, ++sent)).catch(() => undefined);
  });
  await slow.closed();
  drip.cancel();
  expect(sent).toBeLessThan(word.byteLength);
  expect(await a0.controller.get("host-type")).toBe("archive");
});
