/** C tests of native/blocks under ASan and UBSan: the painted models, the fuzz corpus, and mutants that these catch. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { staticArchives } from "../../build.ts";
import { cc, compileObjects, run } from "./compile-c.ts";

const native = join(import.meta.dir, "../../native");
const blocks = join(native, "blocks");
const sources = [
  ...readdirSync(blocks)
    .filter((name) => name.endsWith(".c"))
    .map((name) => join(blocks, name)),
  join(native, "buffer.c"),
  join(native, "nx.c"),
];
const sanitizers = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const common = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", `-I${native}`];
const directory = mkdtempSync(join(tmpdir(), "node-x-blocks-c-"));
let objects: string[] = [];
let archives: string[] = [];

beforeAll(async () => {
  archives = await staticArchives();
  objects = await compileObjects(sources, sanitizers, join(directory, "objects"));
}, 120_000);
afterAll(() => rmSync(directory, { recursive: true }));

async function runProgram(source: string, linked: string[], ...args: string[]) {
  const program = join(directory, `program-${crypto.randomUUID()}`);
  const libraries = [...archives, "-lstdc++", "-lm", "-pthread"];
  const from = [...common, ...sanitizers, "-DNX_FUZZ_FILES", join(native, source)];
  await cc(...from, ...linked, ...libraries, "-o", program);
  return run(["timeout", "20", program, ...args]);
}

test("native/test/test-blocks.c passes under ASan and UBSan", async () => {
  const { code, output } = await runProgram("test/test-blocks.c", objects);
  expect({ code, failed: output.match(/^(not ok|#|.*ERROR|.*runtime error).*$/gm) }).toEqual({
    code: 0,
    failed: null,
  });
  expect(output).toMatch(/^1\.\.7$/m);
}, 60_000);

test("the corpus of native/fuzz/blocks.c passes", async () => {
  const corpus = readdirSync(join(native, "fuzz/corpus/blocks")).map((name) =>
    join(native, "fuzz/corpus/blocks", name),
  );
  const { code, output } = await runProgram("fuzz/blocks.c", objects, ...corpus);
  expect({ code, output }).toEqual({ code: 0, output: `${corpus.length} inputs\n` });
}, 60_000);

/** The objects with one source changed: `from`, which must occur once, becomes `to`. */
async function mutate(file: string, from: string, to: string): Promise<string[]> {
  const place = mkdtempSync(join(directory, "mutant-"));
  cpSync(native, join(place, "native"), { recursive: true, filter: (path) => !path.includes("corpus") });
  const source = join(place, "native/blocks", file);
  const text = readFileSync(source, "utf8");
  expect(text.split(from)).toHaveLength(2);
  writeFileSync(
    source,
    text.replace(from, () => to),
  );
  await cc(...common, "-w", ...sanitizers, "-c", source, "-o", `${source}.o`);
  return objects.map((path) => (basename(path) === `${file}.o` ? `${source}.o` : path));
}

test.each([
  ["a later write does not cut an earlier one", "pieces.c", "end = writes[s.order[next]].address;", ";"],
  ["the first of two inputs wins", "merge.c", "if (own <= start)", "if (own < start)"],
  [
    "stored data is not compared with its checksum",
    "merge.c",
    "!= in->record.checksum)",
    "!= in->record.checksum && false)",
  ],
  [
    "a pack header is not compared with its checksum",
    "wdiff.c",
    "if (nx_salted_checksum(header, NX_WDIFF_PACK_BYTES, 0) != 0) return -EBADMSG;",
    "",
  ],
  [
    "an index record is not compared with its checksum",
    "wdiff.c",
    "if (nx_salted_checksum(bytes, NX_WDIFF_INDEX_BYTES, 0) != 0) return -EBADMSG;",
    "",
  ],
  [
    "a piece inside an image begins at the image's start",
    "merge.c",
    "stored += skipped * NX_BLOCK_BYTES;",
    "",
  ],
])(
  "turns red when %s",
  async (_breaks, file, from, to) => {
    const changed = await mutate(file, from, to);
    expect((await runProgram("test/test-blocks.c", changed)).code).not.toBe(0);
  },
  60_000,
);
