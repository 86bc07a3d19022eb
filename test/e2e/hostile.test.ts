/** See hostile.ts for what the clients do. Beside each of them a well-behaved client must keep being served. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { seededRandom } from "../../src/core/seams/random.ts";
import type { RawClient } from "../channels/wire/resp/raw.ts";
import { replyText } from "./client.ts";
import { until } from "./executable.ts";
import { attacks, hostileLimits } from "./hostile.ts";
import { NodeDirectory, type NodeProcess } from "./node-process.ts";

let directory: NodeDirectory;
let node: NodeProcess;

beforeAll(async () => {
  directory = new NodeDirectory();
  node = await directory.start({ limits: hostileLimits, log: { console: "off" } });
}, 120_000);

afterAll(() => directory[Symbol.dispose]());

/** Writes and reads its own key without pause; every reply must be the right one. */
class GoodClient {
  served = 0;
  waitMsMax = 0;
  isWanted = true;
  readonly done: Promise<void>;

  constructor(client: RawClient) {
    this.done = this.#run(client);
  }

  async #run(client: RawClient): Promise<void> {
    for (; this.isWanted; this.served++) {
      const start = performance.now();
      const value = `value-${this.served}`;
      expect(replyText(await client.command("SET", "good", value))).toBe("+OK");
      expect(replyText(await client.command("GET", "good"))).toBe(`$${value.length}\r\n${value}`);
      this.waitMsMax = Math.max(this.waitMsMax, performance.now() - start);
    }
  }
}

test.each(attacks)(
  "$name: others are served, nothing breaks",
  async ({ run }) => {
    await using client = await node.connect();
    const good = new GoodClient(client);
    await run(node, seededRandom(3), 1);
    const { served } = good;
    await until("the good client to be served", () => good.served > served + 10 || undefined);
    good.isWanted = false;
    await good.done;
    // For a busy machine: who is shut out is not served at all.
    expect(good.waitMsMax).toBeLessThan(20_000);
    // Nothing is left of the hostile connections.
    await until("the connections to be gone", async () => {
      const { connections, inputBytes } = (await node.stats()).dht;
      return (connections === 1 && inputBytes === 0) || undefined;
    });
    expect((await node.readiness()).status).toBe(200);
  },
  120_000,
);

test("it ends in order after all that, without a crash file", async () => {
  expect(directory.rootLog()).not.toMatch(/Fatal|defect/);
  expect(await node.end()).toBe(0);
});
