/** The command line as a process: exit codes, streams, pipes, how fast it starts. */
import { expect, test } from "bun:test";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mainFile, temporaryDirectory } from "./helpers.ts";

function spawn(words: string[], options: { env?: Record<string, string>; stdin?: "ignore" } = {}) {
  const { stdout, stderr, exitCode } = Bun.spawnSync([process.execPath, mainFile, ...words], {
    ...options,
    env: { ...process.env, ...options.env },
  });
  return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

test.each([
  [["roles"], 0],
  [["bogus"], 64],
  [["check", "/nowhere.json"], 78],
  [["health", "--socket", "/nowhere.sock"], 69],
])("%p ends with %p, answers on standard output and errors on standard error", (words, code) => {
  const result = spawn(words);
  expect(result.code).toBe(code);
  expect(result.stdout === "").toBe(code !== 0);
  expect(result.stderr === "").toBe(code === 0);
});

test("a reader that goes away early is no error", () => {
  const { exitCode, stderr } = Bun.spawnSync([
    "bash",
    "-c",
    `set -o pipefail; "$0" "$1" man | head -n 1`,
    process.execPath,
    mainFile,
  ]);
  expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 0, stderr: "" });
});

test("output that does not fit the disk is an error, not a silent half", () => {
  const full = openSync("/dev/full", "w");
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, mainFile, "man"], { stdout: full });
  closeSync(full);
  expect(exitCode).toBe(73);
  expect(stderr.toString()).toStartWith("error: standard output cannot be written (ENOSPC)\n");
});

test("asking for the version loads neither the schemas nor any role", () => {
  const directory = temporaryDirectory();
  const guard = join(directory.path, "guard.ts");
  writeFileSync(
    guard,
    `Bun.plugin({ name: "guard", setup(build) {
      build.onLoad({ filter: /node_modules\\/zod\\/|src\\/roles\\.ts$|src\\/channels\\// }, ({ path }) => { throw new Error("loaded " + path); });
    } });`,
  );
  const run = (verb: string) => Bun.spawnSync([process.execPath, "--preload", guard, mainFile, verb]);
  const version = run("version");
  const roles = run("roles");
  directory.remove();
  expect({ code: version.exitCode, stderr: version.stderr.toString() }).toEqual({ code: 0, stderr: "" });
  // The guard works: a verb that needs the roles cannot run under it.
  expect(roles.exitCode).not.toBe(0);
  expect(roles.stderr.toString()).toContain("loaded ");
});
