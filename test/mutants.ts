/**
 * Negative controls: one line of the program is broken, and the test that guards it must turn red.
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

/** Declares a test for each mutant. `paths` are what their guards need beside src/. */
export function testMutants(mutants: readonly Mutant[], paths: readonly string[]): void {
  const copy = mkdtempSync(join(tmpdir(), "node-x-mutants-"));

  beforeAll(() => {
    // Without bunfig.toml and its preload: the copy uses what is built and never builds into the shared dist/.
    for (const path of ["src", "package.json", ...paths]) {
      cpSync(join(root, path), join(copy, path), { recursive: true });
    }
    for (const path of ["node_modules", "dist"]) symlinkSync(join(root, path), join(copy, path));
  });
  afterAll(() => rmSync(copy, { recursive: true, force: true }));

  function run([file, name]: Mutant["noticedBy"]): number {
    const command = [process.execPath, "test", "--timeout", "8000", `./${file}`, "-t", name];
    return Bun.spawnSync(command, { cwd: copy, stdout: "ignore", stderr: "ignore" }).exitCode;
  }

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
      expect(original.split(from)).toHaveLength(2);
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
