/**
 * The load generator against a real redis-server, and against servers that misbehave.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import bench from "../../../../src/channels/dht/bench.ts";
import { RequestBlock, Values } from "../../../../src/channels/dht/load/requests.ts";
import { RespLoad, type LoadOptions } from "../../../../src/channels/dht/load/run.ts";
import { realClock } from "../../../../src/core/seams/clock.ts";
import { NxError } from "../../../../src/core/errors.ts";
import type { LoadReport } from "../../../../src/core/load/report.ts";
import { realNet } from "../../../../src/core/seams/net-real.ts";
import type { Listener, Socket } from "../../../../src/core/seams/net.ts";
import { seededRandom } from "../../../../src/core/seams/random.ts";
import { startRedis, type RedisServer } from "../../wire/resp/redis.ts";

let redis: RedisServer;
let directory: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "node-x-load-"));
  redis = await startRedis(["--requirepass", "secret"]);
  writeFileSync(join(directory, "password"), "secret\n", { mode: 0o600 });
});

afterAll(async () => {
  await redis?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

interface Ran {
  code: number;
  stdout: string;
  report: LoadReport;
}

async function run(words: string, interrupted = new AbortController().signal): Promise<Ran> {
  let stdout = "";
  const output = { isTty: false, write: (text: string) => void (stdout += text) };
  const code = await bench([...words.split(" "), "--json", "-"], {
    stdout: output,
    stderr: output,
    interrupted,
  });
  return { code, stdout, report: JSON.parse(stdout) as LoadReport };
}

const withPassword = (words: string) =>
  run(`--port ${redis.port} --password-file ${directory}/password ${words}`);

describe("against redis-server", () => {
  test.each([
    ["set", 1, 1],
    ["get", 16, 3],
    ["mixed:1:10", 7, 5],
  ])(
    "%s, pipeline %d, %d connections: each request has one reply",
    async (operations, pipeline, connections) => {
      const { code, report } = await withPassword(
        `--operations ${operations} --pipeline ${pipeline} --connections ${connections} --requests 5003 --keys 100`,
      );
      expect(report).toMatchObject({ succeeded: true, requests: 5003, replies: 5003, lost: 0, errors: {} });
      expect(report.operations.reduce((sum, one) => sum + one.latency.count, 0)).toBe(5003);
      expect(code).toBe(0);
    },
  );

  test("the server counts as many commands as the report", async () => {
    const statistics = async () => {
      const load = await connect(redis.port, {}, "secret");
      const info = await load.ask(["INFO", "commandstats"]);
      load.close();
      const calls = (name: string) => Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(info)?.[1] ?? 0);
      return { set: calls("set"), get: calls("get") };
    };
    const before = await statistics();
    const { report } = await withPassword("--operations mixed --requests 3000 --pipeline 4");
    const after = await statistics();
    const counted = Object.fromEntries(report.operations.map((one) => [one.operation, one.latency.count]));
    expect({ SET: after.set - before.set, GET: after.get - before.get }).toEqual(counted as never);
  });

  test("verifies values that were preloaded", async () => {
    const { code, report } = await withPassword(
      "--operations get --preload --verify --keys 500 --value-bytes 3000 --requests 2000 --pipeline 8 --key-prefix v:",
    );
    expect(report).toMatchObject({ verified: 2000, mismatches: 0, misses: 0 });
    expect(code).toBe(0);
  });

  test("finds values that somebody else wrote", async () => {
    const load = await connect(redis.port, {}, "secret");
    await load.ask(["SET", "w:000000000000", "x".repeat(64)]);
    load.close();
    const { code, report } = await withPassword(
      "--operations get --verify --keys 1 --requests 10 --key-prefix w:",
    );
    expect(report).toMatchObject({ succeeded: false, verified: 10, mismatches: 10 });
    expect(code).toBe(1);
  });

  test("counts reads of absent keys as misses, not as errors", async () => {
    const { code, report } = await withPassword("--operations get --requests 100 --key-prefix absent:");
    expect(report).toMatchObject({ succeeded: true, misses: 100, errors: {} });
    expect(code).toBe(0);
  });

  test("sends at a fixed rate in an open loop", async () => {
    const { report } = await withPassword("--rate 2000 --requests 200 --connections 4");
    expect(report).toMatchObject({ succeeded: true, requests: 200 });
    // The last request is due 99.5 ms after the first; nothing may be sent before it is due.
    expect(report.seconds).toBeGreaterThanOrEqual(0.0995);
  });

  test("counts errors by their text and fails", async () => {
    await using full = await startRedis(["--maxmemory", "1"]);
    const { code, report } = await run(`--port ${full.port} --operations set --requests 50`);
    expect(report).toMatchObject({ succeeded: false, requests: 50, replies: 50 });
    expect(report.errors).toEqual({ "OOM command not allowed when used memory > 'maxmemory'.": 50 });
    expect(code).toBe(1);
  });

  test("ends early when interrupted, with a report of what was done", async () => {
    const interruption = new AbortController();
    const running = run(
      `--port ${redis.port} --password-file ${directory}/password --seconds 1000`,
      interruption.signal,
    );
    realClock.after(50, () => interruption.abort());
    const { report } = await running;
    expect(report.replies).toBe(report.requests);
    expect(report.seconds).toBeLessThan(900);
  });

  test("writes JSON and a chart", async () => {
    const [json, chart] = [join(directory, "figures.json"), join(directory, "chart.svg")];
    let stdout = "";
    const output = { isTty: false, write: (text: string) => void (stdout += text) };
    const words = [
      "--port",
      `${redis.port}`,
      "--password-file",
      join(directory, "password"),
      "--requests",
      "100",
    ];
    const terminal = { stdout: output, stderr: output, interrupted: new AbortController().signal };
    expect(await bench([...words, "--json", json, "--chart", chart], terminal)).toBe(0);
    expect(JSON.parse(readFileSync(json, "utf8"))).toMatchObject({ requests: 100, reportVersion: 1 });
    expect(readFileSync(json, "utf8")).not.toContain("secret");
    expect(readFileSync(chart, "utf8")).toStartWith("<?xml");
    expect(stdout).toContain("100 replies to 100 requests");
    const refused = bench([...words, "--chart", join(directory, "absent/chart.svg")], terminal);
    expect(await refused.catch((error: NxError) => error.code)).toBe("NX_OUTPUT_FAILED");
  });
});

async function refusal(running: Promise<unknown>): Promise<NxError> {
  try {
    await running;
  } catch (error) {
    if (error instanceof NxError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

describe("refuses to start", () => {
  test("when nothing listens, with what to do", async () => {
    const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const { port } = free;
    free.stop(true);
    const error = await refusal(run(`--port ${port} --requests 1`));
    expect(error.code).toBe("NX_CONNECT_FAILED");
    expect(error.message).toContain(`127.0.0.1:${port}`);
    expect(error.hint).toBeDefined();
  });

  test("without the password, and with a wrong one", async () => {
    const missing = await refusal(run(`--port ${redis.port} --requests 1`));
    expect(missing.message).toContain("NOAUTH");
    expect(missing.hint).toContain("--password-file");
    writeFileSync(join(directory, "wrong"), "guess", { mode: 0o600 });
    const wrong = await refusal(run(`--port ${redis.port} --password-file ${directory}/wrong --requests 1`));
    expect(wrong.message).toContain("WRONGPASS");
  });

  test.each(["--operations delete", "--operations mixed:0:0", "--keys 0", "--seconds -1", "--ports 1"])(
    "with %s",
    async (words) => {
      expect((await refusal(run(words))).exit).toBe(64);
    },
  );
});

// --- servers that misbehave ----------------------------------------------------------------------------------------

const listeners: Listener[] = [];
afterAll(() => {
  for (const listener of listeners) listener.stop();
});

/** Answers PING, then hands every chunk to `behave`. */
async function hostileServer(
  behave: (socket: Socket, chunk: string, chunks: number) => void,
): Promise<number> {
  let chunks = 0;
  const listener = await realNet.listen<undefined>({
    host: "127.0.0.1",
    port: 0,
    handlers: {
      open: () => undefined,
      data(socket, _data, chunk) {
        const text = Buffer.from(chunk).toString("latin1");
        if (text.includes("PING")) socket.write(Buffer.from("+PONG\r\n"));
        else behave(socket, text, chunks++);
      },
      drain: () => {},
      close: () => {},
    },
  });
  listeners.push(listener);
  return listener.port;
}

const options: LoadOptions = {
  connections: 1,
  pipeline: 4,
  keyPrefix: "t:",
  keys: 10,
  valueBytes: 8,
  isVerifying: false,
  replyTimeoutMs: 400,
};

function connect(port: number, changes: Partial<LoadOptions>, password?: string): Promise<RespLoad> {
  const seams = { net: realNet, clock: realClock, random: seededRandom(7) };
  const target = { host: "127.0.0.1", port, ...(password !== undefined && { password }) };
  return RespLoad.connect(seams, target, { ...options, ...changes });
}

async function load(port: number, requests: number) {
  const running = await connect(port, {});
  try {
    const { requests: sent, replies, lost, errors } = await running.run({ readShare: 0, requests });
    return { sent, replies, lost, errors: [...errors.keys()].join("; ") };
  } finally {
    running.close();
  }
}

describe("against a server that misbehaves", () => {
  test("counts requests whose connection was cut as lost", async () => {
    const port = await hostileServer((socket) => {
      socket.write(Buffer.from("+OK\r\n+O"));
      socket.end();
    });
    const { sent, replies, lost, errors } = await load(port, 100);
    expect({ sent, replies, lost }).toEqual({ sent: 4, replies: 1, lost: 3 });
    expect(errors).toContain("closed the connection");
  });

  test("does not count replies that no request asked for", async () => {
    const port = await hostileServer((socket) => void socket.write(Buffer.from("+OK\r\n".repeat(5))));
    const { sent, replies, errors } = await load(port, 4);
    expect({ sent, replies }).toEqual({ sent: 4, replies: 4 });
    expect(errors).toContain("no request asked for");
  });

  test("ends when the server falls silent", async () => {
    const port = await hostileServer(() => {});
    const { sent, replies, lost, errors } = await load(port, 100);
    expect({ sent, replies, lost }).toEqual({ sent: 4, replies: 0, lost: 4 });
    expect(errors).toContain("no reply within 0.4 s");
  });

  test("says that the peer does not speak the protocol", async () => {
    const port = await hostileServer(
      (socket) => void socket.write(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")),
    );
    const { replies, lost, errors } = await load(port, 100);
    expect({ replies, lost }).toEqual({ replies: 0, lost: 4 });
    expect(errors).toContain("does not speak the Redis protocol");
  });

  test("says when a reply is of a type that no SET has", async () => {
    const port = await hostileServer((socket) => void socket.write(Buffer.from(":1\r\n".repeat(4))));
    const { replies, errors } = await load(port, 4);
    expect(replies).toBe(4);
    expect(errors).toContain('SET was answered with type ":"');
  });
});

// --- requests ------------------------------------------------------------------------------------------------------

describe("a block of requests", () => {
  test("holds each request in the protocol's form", () => {
    const values = new Values(5, seededRandom(1));
    const block = new RequestBlock({ keyPrefix: "k:", requestsMax: 3 }, values);
    const request = fc.record({
      operation: fc.constantFrom(0, 1),
      key: fc.integer({ min: 0, max: 1_000_000_000 }),
    });
    fc.assert(
      fc.property(fc.array(request, { minLength: 1, maxLength: 3 }), (requests) => {
        for (const { operation, key } of requests) block.append(operation, key);
        const expected = requests.map(({ operation, key }) => {
          const name = `$14\r\nk:${String(key).padStart(12, "0")}\r\n`;
          const value = new Uint8Array(5);
          values.writeTo(value, 0, key);
          const text = Buffer.from(value).toString("latin1");
          return operation === 1
            ? `*2\r\n$3\r\nGET\r\n${name}`
            : `*3\r\n$3\r\nSET\r\n${name}$5\r\n${text}\r\n`;
        });
        expect(Buffer.from(block.take()).toString("latin1")).toBe(expected.join(""));
      }),
    );
  });

  test("has values that tell a wrong byte anywhere", () => {
    const values = new Values(300, seededRandom(1));
    const value = new Uint8Array(300);
    values.writeTo(value, 0, 77);
    expect(values.matches(77, value, 0, 300, 0)).toBe(true);
    expect(values.matches(77, value, 100, 200, 100)).toBe(true);
    for (let at = 0; at < 300; at++) {
      value[at] = (value[at] as number) ^ 1;
      expect(values.matches(77, value, 0, 300, 0)).toBe(false);
      value[at] = (value[at] as number) ^ 1;
    }
  });
});
