/**
 * The demos as people run them: the executable starts workers and replicas as processes on loopback hosts, kills them with
 * -9, moves and restarts them, and the validator judges what came out.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import type { DemoResult } from "../../src/streams/demo/run.ts";
import { LoneExecutable } from "./executable.ts";

const LIMIT_MS = 120_000;

/** Hosts of this process alone: the ports are those of the original's demos. */
let nextNetwork = process.pid % 200;
const network = () => `127.${20 + (nextNetwork >> 3)}.${1 + (nextNetwork++ % 250)}`;

interface Printed extends Omit<DemoResult, "failure"> {
  demo: string;
  failure: string | null;
}

async function demo(name: string, ...options: string[]): Promise<Printed> {
  using alone = await LoneExecutable.copy();
  const { code, stdout, stderr } = await alone.run([
    ...["stream", "demo", name, "--network", network(), "--dir", join(alone.directory, "demo"), "--json"],
    ...["--checkpoint-ms", "200", "--pause-ms", "300"],
    ...options,
  ]);
  expect(stdout, stderr).toStartWith("{");
  const printed = JSON.parse(stdout) as Printed;
  expect(printed.failure, stderr).toBeNull();
  expect(printed.report?.verdict?.violation ?? null).toBeNull();
  expect(code).toBe(0);
  return printed;
}

test(
  "A1: a worker that is killed and restarted in place loses, repeats and reorders nothing",
  async () => {
    const { report } = await demo("restart");
    expect(report?.verdict).toMatchObject({
      isValid: true,
      records: 22_000,
      keys: 11,
      reached: 2000,
      rewinds: 0,
    });
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
    const { report } = await demo("chain3-2-4-2-4", "--until", "2500");
    expect(report?.verdict).toMatchObject({ isValid: true, records: 27_500, reached: 2500 });
    expect(report?.commits).toBeGreaterThan(3);
  },
  LIMIT_MS,
);

test(
  "the demos are the ten of the original's page, and a wrong name is refused",
  async () => {
    using alone = await LoneExecutable.copy();
    const { stdout } = await alone.run(["stream", "demo"]);
    expect(stdout.split("\n").map((line) => line.split("\t")[0])).toEqual([
      ...["restart", "migrate2", "migrate3", "start2", "start3", "send", "crash-move", "move-restart5"],
      ...["chain2-4-2-3", "chain3-2-4-2-4", ""],
    ]);
    expect((await alone.run(["stream", "demo", "restar"])).code).toBe(64);
  },
  LIMIT_MS,
);
