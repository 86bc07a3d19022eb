/**
 * Negative controls: one line of the program is broken, and the test that guards it must turn red.
 *
 * `check` breaks every second line of each list, because it has a quarter of an hour for everything; `bun run soak mutants`
 * breaks all of them.
 *
 * Each mutant runs in a copy of the tree. A mutant whose text is no longer found fails too: then the guard has moved.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Mutant {
  breaks: string;
  file: string;
  from: string;
  to: string;
  /** Test file and the name of the test that must notice. */
  noticedBy: [file: string, name: string];
}

const root = join(import.meta.dir, "..");
/** For a machine under load: a guard is some seconds of work. */
const LIMIT_MS = 180_000;

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
  });
  afterAll(() => rmSync(copy, { recursive: true, force: true }));

  function run([file, name]: Mutant["noticedBy"]): number {
    const command = [process.execPath, "test", "--timeout", "8000", `./${file}`, "-t", name];
    return Bun.spawnSync(command, { cwd: copy, stdout: "ignore", stderr: "ignore" }).exitCode;
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
      const guards = new Map(mutants.map(({ noticedBy }) => [noticedBy.join(), noticedBy]));
      expect([...guards.values()].filter((guard) => run(guard) !== 0)).toEqual([]);
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
        expect(run(noticedBy)).toBe(1);
      } finally {
        writeFileSync(path, original);
      }
    },
    LIMIT_MS,
  );
}
