/**
 * Negative controls: one line of the program is broken, and the test that guards it must turn red.
 *
 * `check` breaks every second line of each list, because it has a quarter of an hour for everything; `bun run soak mutants`
 * breaks all of them.
 *
 * Each mutant runs in a copy of the tree. A mutant whose text is no longer found fails too: then the guard has moved.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { passedTestsOf } from "./flakes.ts";

export interface Mutant {
  breaks: string;
  file: string;
  from: string;
  to: string;
  /** Test file and the name of the test that must notice. */
  noticedBy: [file: string, name: string];
}

const root = join(import.meta.dir, "..");
/** For a machine under load: a guard, and a copy of the sources, are some seconds of work. */
const LIMIT_MS = 180_000;
/** A guard that is still waiting then waits for what the mutant has broken. */
const NOTICED_MS = 5000;

/** Declares a test for each mutant of this run. `paths` are what their guards need beside src/. */
export function testMutants(all: readonly Mutant[], paths: readonly string[]): void {
  const mutants = process.env.NODE_X_MUTANTS === "all" ? all : all.filter((_, index) => index % 2 === 0);
  const copy = mkdtempSync(join(tmpdir(), "node-x-mutants-"));

  beforeAll(() => {
    // Without bunfig.toml and its preload: the copy uses what is built and never builds into the shared dist/.
    for (const path of ["src", "package.json", "test/seed.ts", ...paths]) {
      cpSync(join(root, path), join(copy, path), { recursive: true });
    }
    for (const path of ["node_modules", "dist"]) symlinkSync(join(root, path), join(copy, path));
  }, LIMIT_MS);
  afterAll(() => rmSync(copy, { recursive: true, force: true }), LIMIT_MS);

  /** Runs guards of one file; a test that takes longer than `limitMs` counts as red, unless it has a limit of its own. */
  function run(file: string, names: readonly string[], limitMs: number, more: readonly string[] = []) {
    const pattern = names.map((name) => `(${name})`).join("|");
    const words = ["--timeout", `${limitMs}`, ...more, `./${file}`, "-t", pattern];
    const options = { cwd: copy, stdout: "ignore", stderr: "pipe", timeout: 4 * limitMs } as const;
    return Bun.spawnSync([process.execPath, "test", ...words], options);
  }

  /** Of guards of one file, those that do not pass, and what the run said. */
  function redGuards(file: string, names: readonly string[]): { missing: string[]; said: string } {
    const report = join(copy, "guards.xml");
    rmSync(report, { force: true });
    const more = ["--reporter=junit", "--reporter-outfile", report];
    const { stderr, exitCode, signalCode } = run(file, names, LIMIT_MS, more);
    const green = passedTestsOf(existsSync(report) ? readFileSync(report, "utf8") : "");
    const missing = names.filter((name) => !green.some((test) => new RegExp(name).test(test.name)));
    return { missing, said: `${file} ended with ${exitCode ?? signalCode}: ${stderr.toString()}` };
  }

  test("every line that can be broken is where it was, once", () => {
    const moved = all.filter(
      ({ file, from }) => readFileSync(join(root, file), "utf8").split(from).length !== 2,
    );
    expect(moved).toEqual([]);
  });

  test(
    "every guard is green while nothing is broken",
    () => {
      const files = Map.groupBy(mutants, ({ noticedBy: [file] }) => file);
      const red = [...files].map(([file, own]) =>
        redGuards(file, [...new Set(own.map(({ noticedBy: [, name] }) => name))]),
      );
      expect(red.filter(({ missing }) => missing.length > 0)).toEqual([]);
    },
    LIMIT_MS,
  );

  test.each(mutants)(
    "$breaks is noticed",
    ({ file, from, to, noticedBy }) => {
      const path = join(copy, file);
      const original = readFileSync(path, "utf8");
      writeFileSync(
        path,
        original.replace(from, () => to),
      );
      try {
        const [guard, name] = noticedBy;
        const { exitCode, exitedDueToTimeout } = run(guard, [name], NOTICED_MS);
        expect(exitedDueToTimeout === true || exitCode === 1).toBe(true);
      } finally {
        writeFileSync(path, original);
      }
    },
    LIMIT_MS,
  );
}
