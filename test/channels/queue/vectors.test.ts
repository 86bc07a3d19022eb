/**
 * The recorded conversation with the original queue node, played against ours. Every byte must be the same but for what
 * is said here: which of two consumers gets which record (each gets half), and an unknown command, which ours answers with
 * 400 before it closes.
 */
import { expect, test } from "bun:test";
import { LegacyNode } from "../../../src/channels/wire/legacy/client.ts";
import { readConversation, type Step } from "../wire/legacy/conversation.ts";
import { startQueue, type TestServer, world } from "./server.ts";

const INVALID = Buffer.from("90010000", "hex");

/** Records that two consumers share, whoever gets which. */
const isShared = ({ kind, bytes }: Step) => kind === "receive" && bytes.includes("shared");

/** Their pushes go at once: spread over two flushes, the parts would be equal in each, and not in all. */
const isSharing = ({ kind, bytes }: Step) => kind === "send" && bytes.includes("shared");

async function play(server: TestServer, steps: Step[]): Promise<{ played: number; shared: string[][] }> {
  const nodes = new Map<string, LegacyNode>();
  const shared = new Map<string, string[]>();
  const sharing = steps.filter(isSharing);
  for (const step of steps) {
    let node = nodes.get(step.connection);
    if (node === undefined) {
      node = await LegacyNode.connect(world.net, { host: "127.0.0.1", port: server.port });
      nodes.set(step.connection, node);
    }
    if (isSharing(step)) {
      if (step === sharing[0]) node.send(Buffer.concat(sharing.map(({ bytes }) => bytes)));
    } else if (step.kind === "send") {
      node.send(step.bytes);
    } else if (step.kind === "closed by node") {
      const answer = await node.read(4).catch(() => INVALID);
      expect({ step: step.text, answer }).toEqual({ step: step.text, answer: INVALID });
      expect(await node.read(1).catch(() => "closed")).toBe("closed");
    } else if (isShared(step)) {
      const got = shared.get(step.connection) ?? [];
      got.push((await node.readArray()).toString());
      shared.set(step.connection, got);
    } else {
      const answer = await node.read(step.bytes.byteLength);
      expect({ step: step.text, answer }).toEqual({ step: step.text, answer: step.bytes });
    }
  }
  for (const node of nodes.values()) node.close();
  return { played: steps.length, shared: [...shared.values()] };
}

test("the recorded conversation gets the same answers", async () => {
  await using server = await startQueue({
    swarm: { generation: "later", writeFlushMs: 50 },
    channels: { ringBytes: 100_000 },
  });
  const steps = readConversation("queue-basic");
  const { played, shared } = await play(server, steps);
  expect(played).toBe(steps.length);
  expect(played).toBeGreaterThan(70);
  expect(shared.map((records) => records.length)).toEqual([2, 2]);
  expect(shared.flat().sort()).toEqual(["shared0", "shared1", "shared2", "shared3"]);
});

test("the comparison can fail: a node of the seed generation answers otherwise", async () => {
  await using server = await startQueue({ swarm: { generation: "seed" } });
  const steps = readConversation("queue-basic");
  const missing = steps.findIndex(({ text }) => text.includes("status 500"));
  expect(missing).toBeGreaterThan(0);
  await expect(play(server, steps.slice(0, missing + 1))).rejects.toThrow();
});
