/**
 * Shows that the contract suite can fail: each mutant is the C store with one guarantee broken on purpose,
 * and the suite must turn red with it. The same build without a mutation must stay green.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cc, compileObjects, type Mutant, mutate, run, storeSources } from "../native/compile-c.ts";
import { testSeed } from "../seed.ts";

const mutants: Mutant[] = [
  {
    breaks: "a split leaves a record behind",
    file: "table.c",
    from: "append(table, bits >> bit & 1 ? high : low,",
    to: "if (bit != 6 || i != 3) append(table, bits >> bit & 1 ? high : low,",
  },
  {
    breaks: "a split puts a record into the wrong bucket",
    file: "table.c",
    from: "bits >> bit & 1 ? high : low",
    to: "bits >> (bit == 5 ? 6 : bit) & 1 ? high : low",
  },
  {
    breaks: "the scan skips the sibling of a split bucket",
    file: "table.c",
    from: "bool is_split = index >= half || index < table->bucket_count - half;",
    to: "bool is_split = index >= half;",
  },
  {
    breaks: "an expired record is removed without an effect",
    file: "channel.c",
    from: "  log_change(channel, NX_EFFECT_REMOVE, rec, (nx_slice){NULL, 0}, 0);",
    to: "  if (!nx_rec_is_expiring(rec)) log_change(channel, NX_EFFECT_REMOVE, rec, (nx_slice){NULL, 0}, 0);",
  },
  {
    breaks: "an export leaves out expired records",
    file: "store.c",
    from: "  export_to *to = context;\n",
    to: "  export_to *to = context;\n  if (nx_rec_is_expired(rec, 1000000)) return;\n",
  },
  {
    breaks: "an export of removed channels loses its place",
    file: "store.c",
    from: "uint32_t index = index_from_id(store, state->channel_id);",
    to: `uint32_t index = (uint32_t)(state->channel_id == 0 ? 0 : state->channel_id - 1);
    if (index >= store->channel_count) return 0;
    state->channel_id = store->channels[index]->id;`,
  },
  {
    breaks: "the gap before a patch keeps old bytes",
    file: "channel.c",
    from: "if (offset > length) memset(value + length, 0, offset - length);",
    to: "",
  },
  {
    breaks: "a patch forgets the expiry in its effect",
    file: "channel.c",
    from: ".expires_at_ms = operation == NX_EFFECT_REMOVE ? 0",
    to: ".expires_at_ms = operation == NX_EFFECT_REMOVE || operation == NX_EFFECT_PATCH ? 0",
  },
  {
    breaks: "an earlier expiry does not rise in the heap",
    file: "expiry.c",
    from: "if (expires_at_ms < entry_at(expiry, i)->look_at_ms)\n",
    to: "if (false)\n",
  },
  {
    breaks: "a key with an upper-case digit is taken for a compact one",
    file: "record.h",
    from: "  if (text & (ones << 7)) return false;\n",
    to: "  if (text & (ones << 7)) return false;\n  text |= (text & (ones << 6)) >> 1;\n",
  },
  {
    breaks: "an overwrite of another size keeps the old block's length",
    file: "channel.c",
    from: "  nx_rec_set_header(target, key_length, value_length, is_compact, is_expiring);",
    to: `  if (target == rec && value_length == 45) value_length = 44;
  nx_rec_set_header(target, key_length, value_length, is_compact, is_expiring);`,
  },
];

const directory = mkdtempSync(join(tmpdir(), "node-x-mutants-"));
const numRuns = 400;
let objects: string[] = [];

beforeAll(async () => {
  objects = await compileObjects(storeSources, ["-O1"], join(directory, "whole"));
}, 180_000);

afterAll(() => rmSync(directory, { recursive: true }));

/** Runs the contract against the store made of `parts`. */
async function runContract(
  name: string,
  parts: string[],
  runs: number,
): Promise<{ code: number; output: string }> {
  const library = join(directory, `${name}.so`);
  await cc("-shared", ...parts, "-o", library);
  return run([
    "timeout",
    "40",
    process.execPath,
    join(import.meta.dir, "store-mutant.ts"),
    library,
    String(testSeed),
    String(runs),
  ]);
}

test("the store without a mutation agrees with the model", async () => {
  expect(await runContract("unchanged", objects, 60)).toMatchObject({ code: 0 });
}, 180_000);

test.each(mutants.map((mutant, index) => [mutant.breaks, mutant, index] as const))(
  "the contract turns red when %s",
  async (_breaks, mutant, index) => {
    const name = `mutant-${index}`;
    const { code, output } = await runContract(
      name,
      await mutate(mutant, objects, join(directory, name)),
      numRuns,
    );
    expect({ code: code !== 0, output }).toMatchObject({ code: true });
    expect(output).toMatch(/disagrees: |assertion failed|panic/);
  },
  180_000,
);
