/**
 * Hostile clients, each as a function over a real node that returns once it did its worst and its connections are gone.
 * Tests run them one by one beside a well-behaved client; `bun run soak hostile` measures that client's latency.
 */
import type { Random } from "../../src/core/seams/random.ts";
import { encode, RawClient } from "../channels/wire/resp/raw.ts";
import { replyText } from "./client.ts";
import type { NodeProcess } from "./node-process.ts";

const MEBIBYTE = 1 << 20;
/** The runtime accepts all that wait in one turn, 50 or 250 here, and a durable SET waits for up to three such turns. */
const ACCEPTING_RATIO_MAX = 4;

/** What an attack needs of a node. */
export type Target = Pick<NodeProcess, "connect" | "stats">;

export interface Attack {
  name: string;
  /** Its requests are proper ones, only many: what they cost others is what any load costs, and not judged. */
  isPlainLoad?: boolean;
  /** By how much others' p99 may grow; 2 when absent. */
  ratioMax?: number;
  /** Throws when the node does not answer as it must. */
  run(node: Target, random: Random, scale: number): Promise<void>;
}

/** The limits that the attacks assume. */
export const hostileLimits = {
  connections: 200,
  valueBytesMax: MEBIBYTE,
  requestBytesMax: 4 * MEBIBYTE,
  outboxBytesMax: 4 * MEBIBYTE,
  memoryBytesMax: 256 * MEBIBYTE,
};

async function withClients(
  node: Target,
  count: number,
  use: (client: RawClient, index: number) => Promise<void>,
): Promise<void> {
  const attempts = Array.from({ length: count }, async (_, index) => {
    await using client = await node.connect();
    await use(client, index);
  });
  await Promise.all(attempts);
}

function expectReply(what: string, got: string, wanted: RegExp): void {
  if (!wanted.test(got))
    throw new Error(`${what}: wanted ${wanted}, got ${JSON.stringify(got.slice(0, 200))}`);
}

/** Sends bytes that break the protocol: the reply must be an error that matches, and the connection be closed. */
async function expectClosed(node: Target, bytes: string | Uint8Array, wanted: RegExp): Promise<void> {
  await using client = await node.connect();
  client.send(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  const reply = (await client.untilClosed()).toString("latin1");
  expectReply(String(bytes.slice(0, 40)), reply, wanted);
}

const garbage: Attack = {
  name: "garbage bytes",
  async run(node, random, scale) {
    await withClients(node, 50 * scale, async (client) => {
      client.send(random.bytes(1 + random.integer(8192)));
      client.send(Buffer.from("\r\n*1\r\n$4\r\nQUIT\r\n\r\nQUIT\r\n"));
      // Whatever it was taken for, an answer or the end comes.
      await Promise.race([client.replies(1), client.untilClosed(), Bun.sleep(200)]);
    });
  },
};

const lengths: Attack = {
  name: "absurd lengths and counts",
  async run(node) {
    const bulk = /^-ERR Protocol error: invalid bulk length\r\n$/;
    const count = /^-ERR Protocol error: invalid multibulk length\r\n$/;
    await expectClosed(node, "*1\r\n$10000000000\r\n", bulk);
    await expectClosed(node, "*1\r\n$-5\r\n", bulk);
    await expectClosed(node, `*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${MEBIBYTE + 1}\r\n`, bulk);
    await expectClosed(node, "*10000000000\r\n", count);
    await expectClosed(node, "*99999999999999999999\r\n", count);
    await expectClosed(node, "*1048577\r\n", count);
    await expectClosed(node, "*1\r\n:4\r\nPING\r\n", /^-ERR Protocol error: expected '\$', got ':'\r\n$/);
    await expectClosed(
      node,
      `*${"1".repeat(70_000)}`,
      /^-ERR Protocol error: too big mbulk count string\r\n$/,
    );
    await expectClosed(
      node,
      'set k "unbalanced\r\n',
      /^-ERR Protocol error: unbalanced quotes in request\r\n$/,
    );
  },
};

const inlineFlood: Attack = {
  name: "lines without an end",
  async run(node, _random, scale) {
    const line = Buffer.alloc(MEBIBYTE, "a");
    for (let flood = 0; flood < 4 * scale; flood++) {
      await expectClosed(node, line, /^-ERR Protocol error: too big inline request\r\n$/);
    }
  },
};

const overLimits: Attack = {
  name: "keys, values, channel names, transactions and requests over their limits",
  async run(node) {
    await using client = await node.connect();
    const ask = async (...words: (string | Uint8Array)[]) => replyText(await client.command(...words));
    const megabyte = Buffer.alloc(MEBIBYTE, "v");
    expectReply("SET", await ask("SET", "k", megabyte), /^\+OK$/);
    expectReply("APPEND", await ask("APPEND", "k", "x"), /^-ERR string exceeds maximum allowed size/);
    expectReply(
      "SETRANGE",
      await ask("SETRANGE", "k", "4294967295", "x"),
      /^-ERR string exceeds maximum allowed size/,
    );
    expectReply("a long key", await ask("SET", Buffer.alloc(600_000, "k"), "v"), /^-ERR .*key.*52[0-9]{4}/);
    for (const name of ["no/such", "", "..", "a b", "x".repeat(241), "\x00"]) {
      expectReply(`SELECT ${name}`, await ask("SELECT", name), /^-ERR invalid channel name/);
    }
    expectReply("MULTI", await ask("MULTI"), /^\+OK$/);
    for (let queued = 0; queued < 3; queued++)
      expectReply("queueing", await ask("SET", "k", megabyte), /^\+QUEUED$/);
    expectReply("too much", await ask("SET", "k", megabyte), /^-ERR the transaction is too large to queue$/);
    expectReply("EXEC", await ask("EXEC"), /^-EXECABORT /);
    expectReply("MGET", await ask("MGET", ..."kkkkkkkk"), /^-ERR the reply would be longer than /);
    expectReply("STRLEN", await ask("STRLEN", "k"), /^:1048576$/);
    // Five values of 1 MiB in one request are more than requestBytesMax.
    const pairs = [..."abcde"].flatMap((key) => [key, megabyte]);
    await expectClosed(node, encode(["MSET", ...pairs]), /^-ERR Protocol error: request is too large\r\n$/);
    expectReply("DEL", await ask("DEL", "k"), /^:1$/);
  },
};

const memoryLimit: Attack = {
  name: "filling the memory",
  isPlainLoad: true,
  async run(node) {
    await using client = await node.connect();
    await client.command("SELECT", "flood");
    const value = Buffer.alloc(MEBIBYTE, "v");
    for (let record = 0; ; record++) {
      const reply = replyText(await client.command("SET", `k${record}`, value));
      if (reply !== "+OK") {
        expectReply("SET", reply, /^-OOM /);
        if (record < 200) throw new Error(`refused after ${record} MiB`);
        break;
      }
    }
    expectReply("GET", replyText(await client.command("STRLEN", "k1")), /^:1048576$/);
    expectReply("FLUSHDB", replyText(await client.command("FLUSHDB")), /^\+OK$/);
  },
};

const neverReads: Attack = {
  name: "pipelining GETs of large values without reading",
  async run(node, _random, scale) {
    await using writer = await node.connect();
    await writer.command("SET", "large", Buffer.alloc(MEBIBYTE, "v"));
    const requests = (count: number) =>
      Buffer.concat(Array.from({ length: count }, () => encode(["GET", "large"])));
    const before = (await node.stats()).process.rssBytes;
    let most = 0;
    // Looked at by the first alone: what is shown is what clients cost that do not read, not what figures cost.
    const look = async () => {
      most = Math.max(most, (await node.stats()).process.rssBytes - before);
    };
    await withClients(node, 20 * scale, async (client, index) => {
      client.pause();
      client.send(requests(index === 0 ? 30 : 1000)); // for 1 GB each
      for (let turn = 0; turn < 5; turn++) {
        if (index === 0) await look();
        await Bun.sleep(50);
      }
      if (index > 0) return;
      // One of them changes its mind: every reply is there, whole.
      client.resume();
      const reply = 10 + MEBIBYTE + 2;
      if (!(await client.skip(30 * reply))) throw new Error("a client that went on reading was closed");
    });
    const allowed = 20 * scale * 4 * MEBIBYTE + 128 * MEBIBYTE;
    if (most > allowed) throw new Error(`clients that do not read took ${Math.round(most / MEBIBYTE)} MiB`);
  },
};

const halfRequests: Attack = {
  name: "half requests that never end",
  async run(node, random, scale) {
    const whole = encode(["SET", "half", "x".repeat(1000)]);
    const announced = Buffer.from("*2\r\n$3\r\nGET\r\n$1048576\r\nabc");
    const before = (await node.stats()).process.rssBytes;
    await withClients(node, 60 * scale, async (client, index) => {
      if (index % 3 === 0) client.send(announced);
      else if (index % 3 === 1) client.send(Buffer.from("*1048576\r\n"));
      else {
        // One byte at a time.
        for (let at = 0; at < 20; at++) {
          client.send(whole.subarray(at, at + 1));
          await Bun.sleep(random.integer(5));
        }
      }
      await Bun.sleep(100);
    });
    const grown = (await node.stats()).process.rssBytes - before;
    if (grown > 64 * MEBIBYTE) throw new Error(`half requests took ${Math.round(grown / MEBIBYTE)} MiB`);
  },
};

const tooMany: Attack = {
  name: "more connections than allowed",
  ratioMax: ACCEPTING_RATIO_MAX,
  async run(node, _random, scale) {
    let refused = 0;
    // Opened in batches: the backlog of a listener is a few hundred.
    for (let batch = 0; batch < 4 * scale; batch++) {
      await withClients(node, 250, async (client) => {
        client.send(encode(["PING"]));
        const [reply] = await client.replies(1);
        const text = reply === undefined ? "" : replyText(reply);
        if (text === "-ERR max number of clients reached") refused++;
        else if (text !== "+PONG" && text !== "") throw new Error(`unexpected ${text}`);
        await Bun.sleep(100);
      });
    }
    if (refused < 100) throw new Error(`only ${refused} connections were refused`);
  },
};

const churn: Attack = {
  name: "connecting and leaving",
  ratioMax: ACCEPTING_RATIO_MAX,
  async run(node, _random, scale) {
    for (let round = 0; round < 20 * scale; round++) {
      await withClients(node, 50, async (client, index) => {
        if (index % 2 === 0) client.send(Buffer.from("*1\r\n$4\r\nPI"));
      });
    }
  },
};

export const attacks: Attack[] = [
  garbage,
  lengths,
  inlineFlood,
  overLimits,
  memoryLimit,
  neverReads,
  halfRequests,
  tooMany,
  churn,
];
