/** The executable under the names of the original programs: their command lines, their help, their exit codes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "../../../src/cli/programs.ts";
import { realWorld } from "../../../src/core/seams/world-real.ts";
import { temporaryDirectory } from "../../cli/helpers.ts";
import { type Running, startArchive, VOLUME } from "../servers.ts";

let place: ReturnType<typeof temporaryDirectory>;
let archive: Running;
beforeAll(async () => {
  place = temporaryDirectory();
  archive = await startArchive(realWorld(), { dataDir: join(place.path, "a0") });
});
afterAll(async () => {
  await archive[Symbol.asyncDispose]();
  place.remove();
});

async function program(name: string, ...words: string[]) {
  const said = { stdout: "", stderr: "" };
  const output = (key: keyof typeof said) => ({
    write: (part: string) => void (said[key] += part),
    isTty: false,
    columns: undefined,
  });
  const call = {
    environment: {},
    workingDirectory: place.path,
    stdout: output("stdout"),
    stderr: output("stderr"),
  };
  return { code: await runProgram(name, words, call as never), ...said };
}

const walbc = (...words: string[]) =>
  program("walbc", "-a", "127.0.0.1", "-p", String(archive.port), ...words);

test.each([
  ["walb-archive", "-vg NAME"],
  ["walb-proxy", "-rto SECONDS"],
  ["walb-storage", "-archive HOST:PORT"],
])("%s says its options when it is asked by -h", async (name, option) => {
  for (const word of ["-h", "--help"]) {
    const { code, stdout } = await program(name, "-p", "5000", word);
    expect(code).toBe(0);
    expect(stdout).toStartWith(`usage: ${name} [options]\n`);
    for (const each of ["-b DIR", "-allow-exec ", option]) expect(stdout).toContain(`  ${each}`);
  }
  expect(await program(name, "-nosuch")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('unknown option "-nosuch"'),
  });
});

test("walb-archive does not begin where its base directory is missing", async () => {
  const base = join(place.path, "not-mounted");
  expect(await program("walb-archive", "-b", base, "-p", "0")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`the base directory ${base} is not there`),
  });
  expect(existsSync(base) || existsSync(`${base}.node-x`)).toBe(false);
});

test("walbc takes its options before and behind the command, and ends with 0 or 1", async () => {
  expect(await walbc("get", "state", VOLUME)).toMatchObject({ code: 0, stdout: "Clear\n" });
  expect(await walbc("-debug", "-to", "5", "get", "state", VOLUME, "-id", "me")).toMatchObject({
    code: 0,
    stdout: "Clear\n",
  });
  expect(await walbc("restore", VOLUME, "1")).toMatchObject({ code: 1, stdout: "" });
  expect((await program("walbc", "-a", "127.0.0.1", "-p", "1", "-retry", "0", "get", "pid")).code).toBe(1);
  expect(await walbc("foo")).toMatchObject({ code: 1, stdout: expect.stringContaining("usage: walbc") });
  expect((await program("walbc")).code).toBe(1);
});

test("walb-worker says what it takes", async () => {
  const { code, stdout } = await program("walb-worker", "-h");
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining("-lifetime SECONDS") });
});

test("walbc says what it takes, and what a command takes", async () => {
  const { code, stdout } = await program("walbc", "-h");
  expect(code).toBe(0);
  for (const part of ["usage: walbc -a HOST -p PORT", "  archive-info ", "  -retry N "])
    expect(stdout).toContain(part);
  expect(await program("walbc", "snapshot", "-h")).toMatchObject({
    code: 0,
    stdout: "usage: walbc -a HOST -p PORT snapshot VOL\n\nTake a snapshot; prints its gid.\n",
  });
});
