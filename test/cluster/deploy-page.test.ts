/** docs/deploy.md says nothing that is not so: its example is valid, and every test that its table names is there. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { problemText } from "../../src/core/config/problem.ts";
import { readClusterFile } from "../../src/cluster/topology/cluster-file.ts";

const root = join(import.meta.dir, "../..");
const page = readFileSync(join(root, "docs/deploy.md"), "utf8");
const testFiles = [...new Bun.Glob("test/**/*.test.ts").scanSync({ cwd: root })];

interface Reference {
  file: string;
  claims: string[];
}

/** The last column of the comparison, each cell with its files and the claims that follow them. */
function referencesOf(text: string): Reference[] {
  const rows = text
    .slice(text.indexOf("## Compared"))
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .slice(1);
  return rows.flatMap((row) => {
    const cell = row.split("|").at(-2) ?? "";
    const files = [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] as string);
    const claims = [...cell.matchAll(/"([^"]+)"/g)].map((match) => match[1] as string);
    expect(files, row).not.toEqual([]);
    return files.map((file) => ({ file, claims: files.length === 1 ? claims : [] }));
  });
}

/** What is wrong with a reference; undefined when it holds. */
function faultOf({ file, claims }: Reference): string | undefined {
  if (file.endsWith("/")) return existsSync(join(root, file)) ? undefined : `there is no ${file}`;
  const paths = testFiles.filter((path) => path === file || basename(path) === file);
  if (paths.length === 0) return `there is no ${file}`;
  const text = paths.map((path) => readFileSync(join(root, path), "utf8")).join("\n");
  const missing = claims.find((claim) => !text.includes(`"${claim.replace(/ …$/, "")}`));
  return missing === undefined ? undefined : `${file} has no test "${missing}"`;
}

test("every row of the comparison names tests that exist", () => {
  const references = referencesOf(page);
  expect(references.length).toBeGreaterThan(15);
  expect(references.map(faultOf).filter((fault) => fault !== undefined)).toEqual([]);
});

test("a row that names no test is found", () => {
  expect(faultOf({ file: "read.test.ts", claims: ["a claim that nobody makes"] })).toContain(
    "a claim that nobody makes",
  );
  expect(faultOf({ file: "nowhere.test.ts", claims: [] })).toBe("there is no nowhere.test.ts");
});

test("the example of prefix.cluster.json is valid", () => {
  const example = /```json\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
  expect(example).toContain("workingDirectory");
  expect(readClusterFile("p.cluster.json", Buffer.from(example)).problems.map(problemText)).toEqual([]);
});
