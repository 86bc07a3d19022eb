/**
 * Runs the C tests of native/test: under AddressSanitizer and UndefinedBehaviorSanitizer, except the memory
 * figures, which need the code as it is shipped. Each program prints TAP.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  cc,
  compileObjects,
  type Mutant,
  mutate,
  native,
  run,
  sanitizers,
  storeSources,
  turnsRed,
} from "./compile-c.ts";

const directory = mkdtempSync(join(tmpdir(), "node-x-c-tests-"));
let sanitized: string[] = [];
let plain: string[] = [];

beforeAll(async () => {
  sanitized = await compileObjects(storeSources, sanitizers, join(directory, "sanitized"));
  plain = await compileObjects(storeSources, ["-O1"], join(directory, "plain"));
}, 180_000);

afterAll(() => rmSync(directory, { recursive: true }));

const testSource = (name: string) => join(native, `test/test-${name}.c`);

async function expectTap(program: string): Promise<string> {
  const { code, output } = await run([program]);
  expect({ code, failures: output.match(/^(not ok|#.*:\d+: |.*ERROR: |.*runtime error: ).*$/gm) }).toEqual({
    code: 0,
    failures: null,
  });
  expect(output).toMatch(/^1\.\.[1-9]\d*$/m);
  return output;
}

const tested = ["crc32c", "engine-parts", "slab", "table", "store", "stress", "tcm"];

test.each(tested)(
  "native/test/test-%s.c passes under ASan and UBSan",
  async (name) => {
    const program = join(directory, name);
    await cc(
      "-std=c11",
      "-D_GNU_SOURCE",
      "-Wall",
      "-Wextra",
      "-Werror",
      ...sanitizers,
      testSource(name),
      ...sanitized,
      "-o",
      program,
    );
    await expectTap(program);
  },
  180_000,
);

test("the corpus of native/fuzz/tcm.c passes under ASan and UBSan", async () => {
  const corpus = readdirSync(join(native, "fuzz/corpus/tcm")).map((name) =>
    join(native, "fuzz/corpus/tcm", name),
  );
  const program = join(directory, "fuzz-tcm");
  const source = join(native, "fuzz/tcm.c");
  await cc(
    "-std=c11",
    "-D_GNU_SOURCE",
    "-DNX_FUZZ_FILES",
    `-I${native}`,
    ...sanitizers,
    source,
    ...sanitized,
    "-o",
    program,
  );
  expect(await run([program, ...corpus])).toMatchObject({ code: 0, output: `${corpus.length} inputs\n` });
}, 180_000);

test("a record costs at most 60 bytes beyond its key and value", async () => {
  const objects = await compileObjects(storeSources, ["-O3"], join(directory, "optimised"));
  const program = join(directory, "memory");
  await cc("-std=c11", "-D_GNU_SOURCE", "-O3", testSource("memory"), ...objects, "-o", program);
  const output = await expectTap(program);
  console.log(output.match(/^# .*overhead.*$/gm)?.join("\n"));
}, 180_000);

test("a use after free inside a page is seen (the sanitizer build can fail)", async () => {
  const source = join(directory, "broken.c");
  await Bun.write(
    source,
    `#include "slab.h"
int main(void) {
  nx_slab slab;
  nx_slab_init(&slab, 0);
  volatile unsigned char *block = nx_slab_alloc(&slab, 40, false);
  nx_slab_alloc(&slab, 40, false);
  nx_slab_free(&slab, (void *)block, 40);
  return block[20];
}
`,
  );
  const program = join(directory, "broken");
  await cc("-std=c11", "-D_GNU_SOURCE", `-I${native}`, ...sanitizers, source, ...sanitized, "-o", program);
  const { code, output } = await run([program]);
  expect(code).not.toBe(0);
  expect(output).toContain("use-after-poison");
}, 180_000);

const mutants: (Mutant & { test: string })[] = [
  {
    test: "slab",
    breaks: "the memory limit is passed by a page",
    file: "slab.c",
    from: "slab->memory_bytes + bytes <= slab->memory_bytes_max",
    to: "slab->memory_bytes + bytes <= slab->memory_bytes_max + NX_PAGE_BYTES",
  },
  {
    test: "slab",
    breaks: "a full page is not offered again after a free",
    file: "slab.c",
    from: "if (page->used == page->capacity) link_page(slab, page);",
    to: "",
  },
  {
    test: "slab",
    breaks: "huge pages may fill what was given back",
    file: "slab.c",
    from: "(void)madvise(region_of(page), REGION_BYTES, MADV_NOHUGEPAGE);",
    to: "",
  },
  {
    test: "table",
    breaks: "removing from a chain forgets the entry that fills the hole",
    file: "table.c",
    from: "set_entry(place.bucket, place.index, last->tags[i], last->entries[i]);",
    to: "",
  },
  {
    test: "table",
    breaks: "a merge loses its bucket's records",
    file: "table.c",
    from: "redistribute(table, &old, low, low, STORED_BITS_FROM);",
    to: "(void)old; (void)low;",
  },
  {
    test: "store",
    breaks: "a value that becomes empty is still counted as a swarm record",
    file: "channel.c",
    from: "(uint64_t)(after != 0) - (uint64_t)(before != 0)",
    to: "(uint64_t)(before == 0 && after != 0)",
  },
  {
    test: "store",
    breaks: "only the first observer is told",
    file: "store.c",
    from: "for (uint32_t i = 0; i < store->observer_count; i++)\n    store->observers",
    to: "for (uint32_t i = 0; i < (store->observer_count != 0); i++)\n    store->observers",
  },
  {
    test: "store",
    breaks: "an overlapping value is copied without care",
    file: "channel.c",
    from: "value.data >= rec && value.data < rec + nx_rec_bytes(rec)",
    to: "false",
  },
  {
    test: "store",
    breaks: "the length of an effect is not checked",
    file: "effects.c",
    from: "if (total > length) return -EBADMSG;",
    to: "",
  },
  {
    test: "tcm",
    breaks: "a record is taken before its value is there",
    file: "tcm.c",
    from: "if (length - head < value_length) return 0;",
    to: "",
  },
  {
    test: "tcm",
    breaks: "a dump goes on in another channel of the same name",
    file: "tcm.c",
    from: "if (dumper->channel_id != channel->id) return -ENOENT;",
    to: "",
  },
  {
    test: "crc32c",
    breaks: "the long streams are joined with a wrong power",
    file: "crc32c.c",
    from: "POWER_2048, POWER_4096)",
    to: "POWER_4096, POWER_2048)",
  },
  {
    test: "engine-parts",
    breaks: "lines for people have no bound",
    file: "event-lines.c",
    from: "if (events->lines.length > NX_EVENTS_BYTES_MAX) return;",
    to: "",
  },
];

test.each(mutants.map((mutant, index) => [mutant.test, mutant.breaks, mutant, index] as const))(
  "native/test/test-%s.c turns red when %s",
  async (name, _breaks, mutant, index) => {
    const objects = await mutate(mutant, plain, join(directory, `mutant-${index}`));
    const program = join(directory, `mutant-${index}-test`);
    await cc("-std=c11", "-D_GNU_SOURCE", "-O1", testSource(name), ...objects, "-o", program);
    expect(await turnsRed(program)).toBe(true);
  },
  180_000,
);

test.each(tested)(
  "native/test/test-%s.c is green in the build of the mutants",
  async (name) => {
    const program = join(directory, `plain-${name}`);
    await cc("-std=c11", "-D_GNU_SOURCE", "-O1", testSource(name), ...plain, "-o", program);
    await expectTap(program);
  },
  180_000,
);
