/**
 * Every negative control that breaks a line of the program, and not only those of `check`: `bun run soak mutants [PART…]`,
 * where a PART is one of a test file's path.
 */
import { runTests, testFilesWith } from "../run-tests.ts";
import type { Soak } from "./run.ts";

export const soak: Soak = {
  summary: "every line that a test must miss, broken one by one: [part of a test file's path]…",
  async run(parts) {
    const files = testFilesWith("testMutants(").filter((name) => parts.every((part) => name.includes(part)));
    return { files: files.length, passed: await runTests(files, { NODE_X_MUTANTS: "all" }) };
  },
};
