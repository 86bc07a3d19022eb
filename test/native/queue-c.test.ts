/**
 * The C tests of the queues: the ring against a plain list, the fuzz corpus under ASan and UBSan, and mutants that these
 * must catch.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { cc, compileObjects, run } from "./compile-c.ts";

const native = join(import.meta.dir, "../../native");
const inFolder = (folder: string) =>
  readdirSync(join(native, folder))
    .filter((name) => name.endsWith(".c"))
    .map((name) => join(native, folder, name));
const shared = "buffer channel crc32c effects expiry nx paged slab store table lzo request-figures"
  .split(" ")
  .map((name) => join(native, `${name}.c`));
const folders = ["queue", "queue/resp", "queue/legacy", "resp", "legacy"];
// Its neo requests need that protocol's engine: the nodes of test/channels/queue/neo.test.ts run them.
const sources = [...folders.flatMap(inFolder), ...shared].filter((path) => !path.endsWith("/queue/neo.c"));
const corpus = readdirSync(join(native, "fuzz/corpus/queue")).map((name) =>
  join(native, "fuzz/corpus/queue", name),
);
const sanitizers = ["-g", "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const common = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", `-I${native}`];
const directory = mkdtempSync(join(tmpdir(), "node-x-queue-c-"));
/** Object of each source, by its path below native/. */
const objects = new Map<string, string>();

beforeAll(async () => {
  // One folder at a time: their files share names.
  for (const folder of new Set(sources.map((source) => dirname(source)))) {
    const own = sources.filter((source) => dirname(source) === folder);
    const place = join(directory, relative(native, folder).replaceAll("/", "-") || "shared");
    const compiled = await compileObjects(own, [...sanitizers, "-Wno-conversion"], place);
    own.forEach((source, index) => objects.set(relative(native, source), compiled[index] as string));
  }
}, 300_000);
afterAll(() => rmSync(directory, { recursive: true }));

async function link(main: string, changed: Map<string, string> = new Map()): Promise<string> {
  const program = join(directory, `program-${crypto.randomUUID()}`);
  const all = [...objects].map(([path, object]) => changed.get(path) ?? object);
  const flags = main.startsWith("fuzz/") ? ["-DNX_FUZZ_FILES"] : [];
  await cc(...common, ...sanitizers, ...flags, join(native, main), ...all, "-lm", "-o", program);
  return program;
}

/** Compiles one of our sources with `from` replaced by `to`. Fails when the source has no such text. */
async function mutate(path: string, from: string, to: string): Promise<Map<string, string>> {
  const text = readFileSync(join(native, path), "utf8");
  expect(text.split(from)).toHaveLength(2);
  const place = join(directory, `mutant-${crypto.randomUUID()}`);
  mkdirSync(place);
  const source = join(place, basename(path));
  await Bun.write(
    source,
    text.replace(from, () => to),
  );
  await cc(`-I${join(native, dirname(path))}`, ...common, ...sanitizers, "-c", source, "-o", `${source}.o`);
  return new Map([[path, `${source}.o`]]);
}

test("the ring agrees with a plain list", async () => {
  const { code, output } = await run([await link("test/test-ring.c")]);
  expect({ code, failures: output.match(/^not ok.*|^#.*/gm) }).toEqual({ code: 0, failures: null });
}, 120_000);

test("the fuzz corpus passes: replies whole or in pieces, states back from their effects", async () => {
  expect(await run([await link("fuzz/queue.c"), ...corpus])).toEqual({
    code: 0,
    output: `${corpus.length} inputs\n`,
  });
}, 120_000);

const ringMutants = [
  ["a gap at the end counts as free", "queue/ring.c", "return area->read >= size;\n  }\n  *place = area->write;\n  return area->read - area->write >= size;", "return area->read >= size;\n  }\n  *place = area->write;\n  return area->capacity - area->write >= size;"],
  ["a record may pass the first one", "queue/ring.c", "*place = 0;\n    return area->read >= size;", "*place = 0;\n    return area->read + 8 >= size;"],
  ["a record taken at the end still counts as used", "queue/ring.c", "  area->used -= size;\n  area->count -= 1;\n  ring->used -= size;", "  area->used -= size;\n  area->count -= 1;\n  ring->used -= 0;"],
  ["what comes passes what waits in the overflow", "queue/ring.c", "if (ring->far.count == 0 && place_behind(&ring->near", "if (place_behind(&ring->near"],
  ["nothing comes back from the overflow", "queue/ring.c", "if (ring->far.count > 0) pull_in(ring);", ""],
  ["an empty overflow keeps its disk space", "queue/ring.c", "if (ring->far.bytes != NULL && ring->far.count == 0) nx_overflow_empty(ring->overflow, &ring->place);", ""],
] as const; // prettier-ignore

test.each(ringMutants)(
  "the ring's test turns red when %s",
  async (_claim, path, from, to) => {
    const program = await link("test/test-ring.c", await mutate(path, from, to));
    expect((await run([program])).code).not.toBe(0);
  },
  60_000,
);

const corpusMutants = [
  ["a drop is not recorded", "queue/queue.c", "queue->popped += count;\n  nx_queue_record_number(", "queue->popped += count;\n  if (count > 1) nx_queue_record_number("],
  ["an effect counts again over a snapshot that has it", "queue/replay.c", "case NX_Q_END: queue->version = nx_load64(effect->value.data); return true;", "case NX_Q_END: queue->version = nx_load64(effect->value.data) + 1; return true;"],
  ["an entry is not looked at", "queue/stream.c", "if (!is_entry(record)) return false;", ""],
  ["an effect's length is believed", "queue/effects.c", "if (total > length || !length_fits(operation, value_length)) return -EBADMSG;", "if (!length_fits(operation, value_length)) return -EBADMSG;"],
  ["a waiter is not given back", "resp/waiting.c", "engine->input_bytes -= waiter->bytes_counted;", "engine->input_bytes -= 0;"],
  ["a record of a Produce stream is taken before it is complete", "queue/legacy/produce.c", "if (length - 8 < size) return 0;", "if (length < 8) return 0;"],
  ["an acknowledged entry stays with its consumer", "queue/groups.c", "nx_pending_remove(&pending->consumer->pending, NX_OF_CONSUMER, pending);\n  free(pending);", "free(pending);"],
  ["a consumer that leaves stays in its channel's list", "queue/legacy/consume.c", "unlink_from_queue(connection->consumption);\n  free(connection->consumption);", "free(connection->consumption);"],
] as const; // prettier-ignore

test.each(corpusMutants)(
  "the corpus turns red when %s",
  async (_claim, path, from, to) => {
    const program = await link("fuzz/queue.c", await mutate(path, from, to));
    expect((await run([program, ...corpus])).code).not.toBe(0);
  },
  60_000,
);
