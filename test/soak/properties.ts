/**
 * Every property test again and again, each time from other random seeds: `bun run soak properties [rounds]`.
 *
 * `check` runs them from one seed, so that a commit always gets the same verdict; this run is the one that searches. A
 * failure prints the seed and the path of its smallest example, which a test can then repeat.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Soak } from "./run.ts";

const tests = join(import.meta.dir, "..");

function propertyFiles(): string[] {
  const names = readdirSync(tests, { recursive: true, encoding: "utf8" });
  return names.filter(
    (name) => name.endsWith(".test.ts") && readFileSync(join(tests, name), "utf8").includes('"fast-check"'),
  );
}

export const soak: Soak = {
  summary: "every property test from random seeds: [rounds], 20 without",
  async run([rounds = "20"]) {
    const files = propertyFiles();
    for (let round = 1; round <= Number(rounds); round++) {
      const child = Bun.spawn(
        [process.execPath, "test", "--timeout", "300000", ...files.map((name) => join(tests, name))],
        {
          cwd: join(tests, ".."),
          env: { ...process.env, NODE_X_SEED: "random" },
          stdin: "ignore",
          stdout: "pipe",
          stderr: "pipe",
        },
      );
      const printed = await new Response(child.stderr).text();
      if ((await child.exited) !== 0) throw new Error(`round ${round}:\n${printed.slice(-20_000)}`);
    }
    return { files: files.length, rounds: Number(rounds) };
  },
};
