/**
 * The demos as people run them: the executable starts workers and replicas as processes on loopback hosts, kills them with
 * -9, moves and restarts them, and the validator judges what came out.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DemoResult } from "../../src/streams/demo/run.ts";
import { detectorOutput } from "../../src/streams/validate/oracle.ts";
import { parseWindow } from "../../src/streams/validate/window-text.ts";
import { FrameReader } from "../../src/streams/wire/frame.ts";
import { LoneExecutable } from "./executable.ts";

const LIMIT_MS = 120_000;

/** Hosts of this process alone: the ports are those of the original's demos. */
let nextNetwork = process.pid % 200;
const network = () => `127.${20 + (nextNetwork >> 3)}.${1 + (nextNetwork++ % 250)}`;

interface Printed extends Omit<DemoResult, "failure"> {
  demo: string;
  failure: string | null;
  /** What the sink wrote, where it is one file. */
  received: Buffer | undefined;
}

/** By key, the bodies in their order. */
function bodiesOf(frames: Uint8Array): Map<string, string[]> {
  const bodies = new Map<string, string[]>();
  new FrameReader().feed(frames, (bytes, start, end) => {
    const body = Buffer.from(bytes.subarray(start, end)).toString();
    const { key } = parseWindow(body);
    bodies.set(key, [...(bodies.get(key) ?? []), body]);
  });
  return bodies;
}

let alone: LoneExecutable;
beforeAll(async () => {
  alone = await LoneExecutable.copy();
}, LIMIT_MS);
afterAll(() => alone[Symbol.dispose]());

async function demo(name: string, options = ["--pause-ms", "300"]): Promise<Printed> {
  const directory = join(alone.directory, name);
  const { code, stdout, stderr } = await alone.run([
    ...["stream", "demo", name, "--network", network(), "--dir", directory, "--json"],
    ...["--checkpoint-ms", "200", ...options],
  ]);
  expect(stdout, stderr).toStartWith("{");
  const file = join(directory, "received.txt");
  const received = existsSync(file) ? readFileSync(file) : undefined;
  const printed: Printed = { ...(JSON.parse(stdout) as Printed), received };
  expect(printed.failure, stderr).toBeNull();
  expect(printed.report?.verdict?.violation ?? null).toBeNull();
  expect(code).toBe(0);
  return printed;
}

test(
  "A1: a worker that is killed and restarted in place loses, repeats and reorders nothing",
  async () => {
    const { report, received } = await demo("restart");
    expect(report?.verdict).toMatchObject({
      isValid: true,
      records: 22_000,
      keys: 11,
      reached: 2000,
      rewinds: 0,
    });
    // Byte for byte what one thread would have written.
    for (const [key, bodies] of bodiesOf(received as Buffer))
      expect(bodies).toEqual([...detectorOutput(key, 2000)]);
  },
  LIMIT_MS,
);

test(
  "A2: a worker whose machine is lost goes on from a replica on another one, on other ports, no file edited",
  async () => {
    const { report } = await demo("migrate2");
    expect(report?.verdict).toMatchObject({ isValid: true, records: 22_000 });
  },
  LIMIT_MS,
);

test(
  "A3: the same with three workers",
  async () => {
    const { report } = await demo("migrate3");
    expect(report?.verdict).toMatchObject({ isValid: true, records: 22_000 });
  },
  LIMIT_MS,
);

test(
  "A5: a worker goes 2 to 4 to 2 to 4 under load, and the state of its first life is not used",
  async () => {
    const { report } = await demo("chain3-2-4-2-4", ["--until", "2500", "--pause-ms", "300"]);
    expect(report?.verdict).toMatchObject({ isValid: true, records: 27_500, reached: 2500 });
    expect(report?.commits).toBeGreaterThan(3);
  },
  LIMIT_MS,
);

describe("the other demos, as short as their steps allow", () => {
  test.each([
    ["A4: chain2-4-2-3", "chain2-4-2-3"],
    ["A6: move-restart5", "move-restart5"],
    ["crash-move", "crash-move"],
  ])(
    "%s: every value of every key came once, in order",
    async (_title, name) => {
      const { report } = await demo(name, ["--until", "600", "--pause-ms", "50"]);
      expect(report?.verdict).toMatchObject({ isValid: true, records: 6600, keys: 11, reached: 600 });
    },
    LIMIT_MS,
  );

  test.each(["start2", "start3", "send"])(
    "%s: the market rejects what the oracle rejects",
    async (name) => {
      const { market } = await demo(name, ["--until", "300", "--pause-ms", "0"]);
      expect(market).toMatchObject({ isValid: true, difference: null });
      expect(market?.results).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );
});

test(
  "the demos are the ten of the original's page, and a wrong name is refused",
  async () => {
    const { stdout } = await alone.run(["stream", "demo"]);
    expect(stdout.split("\n").map((line) => line.split("\t")[0])).toEqual([
      ...["restart", "migrate2", "migrate3", "start2", "start3", "send", "crash-move", "move-restart5"],
      ...["chain2-4-2-3", "chain3-2-4-2-4", ""],
    ]);
    expect((await alone.run(["stream", "demo", "restar"])).code).toBe(64);
  },
  LIMIT_MS,
);
