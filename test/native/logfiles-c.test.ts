/**
 * The C modules of the logfiles node: their fuzz corpus under ASan and UBSan, and mutants that it must catch.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { staticArchives } from "../../build.ts";
import { cc, compileObjects, run, storeSources } from "./compile-c.ts";

const native = join(import.meta.dir, "../../native");
const ownSources = [
  join(native, "lzo.c"),
  ...readdirSync(join(native, "logfiles"))
    .filter((name) => name.endsWith(".c") && name !== "ffi.c")
    .map((name) => join(native, "logfiles", name)),
];
const sanitizers = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const common = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", `-I${native}`];
const directory = mkdtempSync(join(tmpdir(), "node-x-logfiles-c-"));
const place = join(native, "fuzz/corpus/logfiles");
const corpus = readdirSync(place).map((file) => join(place, file));
let objects: string[] = [];
let fuzzObject = "";
let archives: string[] = [];

beforeAll(async () => {
  const store = await compileObjects(storeSources, sanitizers, join(directory, "store"));
  const own = await compileObjects(ownSources, sanitizers, join(directory, "own"));
  objects = [...store, ...own];
  fuzzObject = join(directory, "fuzz.o");
  await cc(
    ...common,
    ...sanitizers,
    "-DNX_FUZZ_FILES",
    "-c",
    join(native, "fuzz/logfiles.c"),
    "-o",
    fuzzObject,
  );
  archives = (await staticArchives()).filter((path) => path.includes("pcre2"));
}, 120_000);
afterAll(() => rmSync(directory, { recursive: true }));

async function runCorpus(linked: string[]) {
  const program = join(directory, `program-${crypto.randomUUID()}`);
  await cc(...sanitizers, fuzzObject, ...linked, ...archives, "-o", program);
  return run(["timeout", "20", program, ...corpus]);
}

test("the corpus of native/fuzz/logfiles.c passes under ASan and UBSan", async () => {
  const { code, output } = await runCorpus(objects);
  expect({ code, output }).toEqual({ code: 0, output: `${corpus.length} inputs\n` });
}, 60_000);

const mutants: [breaks: string, file: string, from: string, to: string][] = [
  ["a page may be shorter than it says", "logfiles/page.c", "HEADER_BYTES + keys + lengths + values != length || ", ""],
  ["a page may be out of order", "logfiles/page.c", "key >> NX_BUCKET_SHIFT < bucket || ", ""],
  ["a value of a bucket may end behind it", "logfiles/bucket.c", "    if (length - at - header < value_length) {\n      if (is_last) reader->state = NX_BUCKET_SHORT_VALUE;\n      break;\n    }\n", ""],
  ["records are taken from the log twice", "logfiles/logs.c", "    if (number < known) continue;\n", ""],
  ["a run's records are not checked", "logfiles/logs.c", "    if (next.kind == ENTRY_RUN && !is_run_whole(&next)) return -EBADMSG;\n", ""],
  ["a removal is not logged", "logfiles/logs.c", "  append_entry(&logs->effects, ENTRY_REMOVAL, channel, channel->next_number);\n", ""],
  ["input is forgotten at a stop", "logfiles/engine.c", "nx_kept_consume(&connection->input, consumed,", "nx_kept_consume(&connection->input, consumed + (connection->has_task && consumed > 0),"],
  ["a batch's content may be longer than it says", "logfiles/commands.c", "  if (content->length - *at - 8 < length) return false;\n", ""],
  ["alternatives are taken for literals", "logfiles/literal.c", "return memchr(pattern, '|', length) == NULL && ", "return "],
  ["a byte that may be missing is taken for one that must be there", "logfiles/literal.c", "      if (f->run_length > 0) f->run_length -= 1;\n", ""],
]; // prettier-ignore

test.each(mutants)(
  "turns red when %s",
  async (_breaks, file, from, to) => {
    const text = readFileSync(join(native, file), "utf8");
    expect(text.split(from)).toHaveLength(2);
    const changed = mkdtempSync(join(directory, "mutant-"));
    for (const header of readdirSync(dirname(join(native, file))).filter((name) => name.endsWith(".h")))
      cpSync(join(dirname(join(native, file)), header), join(changed, header));
    const source = join(changed, basename(file));
    writeFileSync(
      source,
      text.replace(from, () => to),
    );
    await cc(...common, "-w", ...sanitizers, "-c", source, "-o", `${source}.o`);
    const linked = objects.map((path) =>
      basename(path) === `${basename(file)}.o` && path.includes("/own/") ? `${source}.o` : path,
    );
    expect((await runCorpus(linked)).code).not.toBe(0);
  },
  60_000,
);
