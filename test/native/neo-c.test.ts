/** C tests of the neo protocol's engine: the fuzz corpus under ASan and UBSan, and mutants that it must catch. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { cc, compileObjects, run, storeSources } from "./compile-c.ts";

const native = join(import.meta.dir, "../../native");
const ownSources = [
  join(native, "lzo.c"),
  ...readdirSync(join(native, "neo"))
    .filter((name) => name.endsWith(".c"))
    .map((name) => join(native, "neo", name)),
];
const sanitizers = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const common = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", `-I${native}`];
const directory = mkdtempSync(join(tmpdir(), "node-x-neo-c-"));
let objects: string[] = [];
let target = "";

beforeAll(async () => {
  const store = await compileObjects(storeSources, sanitizers, join(directory, "store"));
  objects = [...store, ...(await compileObjects(ownSources, sanitizers, join(directory, "own")))];
  target = join(directory, "target.o");
  await cc(...common, ...sanitizers, "-DNX_FUZZ_FILES", "-c", join(native, "fuzz/neo.c"), "-o", target);
}, 120_000);
afterAll(() => rmSync(directory, { recursive: true }));

const corpus = readdirSync(join(native, "fuzz/corpus/neo")).map((file) =>
  join(native, "fuzz/corpus/neo", file),
);

async function runCorpus(linked: string[]) {
  const program = join(directory, `program-${crypto.randomUUID()}`);
  await cc(...sanitizers, target, ...linked, "-o", program);
  return run(["timeout", "60", program, ...corpus]);
}

test("the corpus of native/fuzz/neo.c passes", async () => {
  const { code, output } = await runCorpus(objects);
  expect({ code, output }).toEqual({ code: 0, output: `${corpus.length} inputs\n` });
}, 60_000);

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
  return objects.map((path) => (path.endsWith(`/own/${basename(file)}.o`) ? `${source}.o` : path));
}

const mutants: [breaks: string, file: string, from: string, to: string][] = [
  ["the length of a message is not checked against what is there", "neo/engine.c", "if (length - consumed - HEADER_BYTES < body_length) break;", ""],
  ["an array may end behind its message", "neo/service.h", "!nx_neo_take_u64(from, &length) || length > from->length", "!nx_neo_take_u64(from, &length)"],
  ["a request that is over stays in its slot", "neo/engine.c", "*slot = request->same_slot;\n  nx_neo_request **at", "nx_neo_request **at"],
  ["a request that is over may have the next turn", "neo/engine.c", "if (connection->turn == request) connection->turn = request->next;", ""],
  ["a Mirror that leaves stays in its channel's list", "neo/mirror.c", "  unlink_from_channel(of);\n  free(of->ring);", "  free(of->ring);"],
  ["a Mirror keeps the channel that was removed", "neo/mirror.c", "for (; of != NULL; of = of->next) of->channel = NULL;", ""],
  ["a header lacks its parity", "neo/engine.c", "at[9] = TYPE_REQUEST ^ fold(body_length);", "at[9] = TYPE_REQUEST;"],
  ["input forgotten at a stop", "neo/engine.c", "nx_kept_consume(&connection->input, consumed,", "nx_kept_consume(&connection->input, consumed + connection->is_waiting,"],
  ["a stopped connection is not pumped", "neo/engine.c", "uint32_t flags = connection->is_waiting ? NX_NEO_MORE | NX_NEO_STOPPED : 0;", "uint32_t flags = 0;"],
]; // prettier-ignore

test.each(mutants)(
  "turns red when %s",
  async (_breaks, file, from, to) => {
    if (!file.endsWith(".h")) {
      expect((await runCorpus(await mutate(file, from, to))).code).not.toBe(0);
      return;
    }
    // A header: every source that includes it is compiled with the changed one.
    const place = mkdtempSync(join(directory, "mutant-"));
    cpSync(join(native, "neo"), place, { recursive: true });
    const text = readFileSync(join(native, file), "utf8");
    expect(text.split(from)).toHaveLength(2);
    writeFileSync(
      join(place, basename(file)),
      text.replace(from, () => to),
    );
    const changed: string[] = [];
    for (const name of readdirSync(place).filter((each) => each.endsWith(".c"))) {
      await cc(...common, "-w", ...sanitizers, "-c", join(place, name), "-o", join(place, `${name}.o`));
      changed.push(join(place, `${name}.o`));
    }
    const linked = objects.map(
      (path) => changed.find((other) => path.endsWith(`/own/${basename(other)}`)) ?? path,
    );
    expect((await runCorpus(linked)).code).not.toBe(0);
  },
  90_000,
);
