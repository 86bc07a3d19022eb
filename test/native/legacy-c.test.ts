/**
 * C tests of LZO1X and of the legacy protocol's engine: the codec before guard pages, the fuzz corpora under ASan and
 * UBSan, and mutants that these must catch.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { cc, compileObjects, run, storeSources } from "./compile-c.ts";

const native = join(import.meta.dir, "../../native");
const ownSources = [
  join(native, "lzo.c"),
  ...readdirSync(join(native, "legacy"))
    .filter((name) => name.endsWith(".c"))
    .map((name) => join(native, "legacy", name)),
];
const sanitizers = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const common = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", `-I${native}`];
const directory = mkdtempSync(join(tmpdir(), "node-x-legacy-c-"));
let objects: string[] = [];

beforeAll(async () => {
  const store = await compileObjects(storeSources, sanitizers, join(directory, "store"));
  const own = await compileObjects(ownSources, sanitizers, join(directory, "own"));
  objects = [...store, ...own];
}, 120_000);
afterAll(() => rmSync(directory, { recursive: true }));

async function runProgram(source: string, linked: string[], ...args: string[]) {
  const program = join(directory, `program-${crypto.randomUUID()}`);
  await cc(...common, ...sanitizers, "-DNX_FUZZ_FILES", join(native, source), ...linked, "-o", program);
  return run(["timeout", "60", program, ...args]);
}

const corpusOf = (name: string) => {
  const place = join(native, "fuzz/corpus", name);
  return readdirSync(place).map((file) => join(place, file));
};

test("native/test/test-lzo.c passes under ASan and UBSan", async () => {
  const { code, output } = await runProgram("test/test-lzo.c", objects);
  expect({ code, failed: output.match(/^(not ok|#|.*ERROR).*$/gm) }).toEqual({ code: 0, failed: null });
  expect(output).toMatch(/^1\.\.5$/m);
}, 60_000);

test.each(["lzo", "legacy"])(
  "the corpus of native/fuzz/%s.c passes",
  async (name) => {
    const corpus = corpusOf(name);
    const { code, output } = await runProgram(`fuzz/${name}.c`, objects, ...corpus);
    expect({ code, output }).toEqual({ code: 0, output: `${corpus.length} inputs\n` });
  },
  60_000,
);

/** The objects with one source changed: `from`, which must occur once, becomes `to`. */
async function mutate(file: string, from: string, to: string): Promise<string[]> {
  const text = readFileSync(join(native, file), "utf8");
  expect(text.split(from)).toHaveLength(2);
  const place = mkdtempSync(join(directory, "mutant-"));
  const folder = dirname(join(native, file));
  for (const header of readdirSync(folder).filter((name) => name.endsWith(".h")))
    cpSync(join(folder, header), join(place, header));
  const source = join(place, basename(file));
  writeFileSync(
    source,
    text.replace(from, () => to),
  );
  await cc(...common, "-w", ...sanitizers, "-c", source, "-o", `${source}.o`);
  return objects.map((path) => (basename(path) === `${basename(file)}.o` ? `${source}.o` : path));
}

const mutants: [breaks: string, file: string, from: string, to: string, program: string, corpus: string][] = [
  [
    "a match may reach before the content",
    "lzo.c",
    "(uint64_t)(d->out - d->start) < distance || ",
    "",
    "test/test-lzo.c",
    "",
  ],
  [
    "a match may run past the buffer",
    "lzo.c",
    "< distance || (uint64_t)(d->limit - d->out) < length) return false;",
    "< distance) return false;",
    "test/test-lzo.c",
    "",
  ],
  [
    "literals are not counted against the input",
    "lzo.c",
    "(uint64_t)(d->end - d->at) < length || ",
    "",
    "test/test-lzo.c",
    "",
  ],
  [
    "bytes behind the end are taken for part of the stream",
    "lzo.c",
    "return d.at == d.end ? d.out - d.start : -EBADMSG;",
    "return d.out - d.start - (d.at == d.end);",
    "test/test-lzo.c",
    "",
  ],
  [
    "a match reaches one byte too far",
    "lzo.c",
    "#define DISTANCE_MAX 49151u",
    "#define DISTANCE_MAX 49152u",
    "test/test-lzo.c",
    "",
  ],
  [
    "an array's length is not checked",
    "legacy/request.c",
    "if (r->length - r->at < size) return NX_LEGACY_INCOMPLETE;",
    "",
    "fuzz/legacy.c",
    "legacy",
  ],
  [
    "input forgotten at a stop",
    "legacy/engine.c",
    "nx_kept_consume(&connection->input, consumed,",
    "nx_kept_consume(&connection->input, consumed + (connection->bulk != NULL),",
    "fuzz/legacy.c",
    "legacy",
  ],
  [
    "a field of a batch may end behind it",
    "legacy/batch.c",
    "if (content->length - *at - 8 < length) return false;",
    "",
    "fuzz/legacy.c",
    "legacy",
  ],
  [
    "a listener that leaves stays in its channel's list",
    "legacy/listen.c",
    "  unlink_from_channel(connection->listener);\n",
    "",
    "fuzz/legacy.c",
    "legacy",
  ],
  [
    "a removed channel is remembered",
    "legacy/listen.c",
    "if (engine->channel == channel) engine->channel = NULL;",
    "",
    "fuzz/legacy.c",
    "legacy",
  ],
];

test.each(mutants)(
  "turns red when %s",
  async (_breaks, file, from, to, program, corpus) => {
    const changed = await mutate(file, from, to);
    expect((await runProgram(program, changed, ...(corpus === "" ? [] : corpusOf(corpus)))).code).not.toBe(0);
  },
  60_000,
);

test("the store's scan test turns red when a merged bucket is met again", async () => {
  const changed = await mutate("table.c", "if (index_of(table, cursor) == cursor) return", "return");
  expect((await runProgram("test/test-store.c", changed)).code).not.toBe(0);
}, 60_000);
