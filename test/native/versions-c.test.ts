/** The C test of native/versions under ASan and UBSan, and mutants that it catches. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { SanitizedModules, sourcesOf } from "./sanitized.ts";

const MAIN = "test/test-versions.c";
const sources = sourcesOf("versions").filter((source) => !source.endsWith("-ffi.c"));
const modules = new SanitizedModules([...sources, "buffer.c", "nx.c"]);

beforeAll(() => modules.compile(), 180_000);
afterAll(() => modules.remove());

test("native/test/test-versions.c passes under ASan and UBSan", async () => {
  expect(await modules.tap(MAIN)).toEqual({ code: 0, failed: null, count: 5 });
}, 180_000);

test.each([
  [
    "what comes late is not seen by what was folded above it",
    "chain.c",
    "if (!is_absolute(higher)) drop_value(chains, higher);",
    ";",
  ],
  [
    "a write at the horizon is taken",
    "versions.c",
    "if (timestamp <= versions->horizon) return -ESTALE;",
    "",
  ],
  [
    "a dump may bring a key without versions",
    "versions.c",
    "if (count == 0 || nx_keys_find",
    "if (nx_keys_find",
  ],
  [
    "operations of a dump are not looked at",
    "versions.c",
    "|| timestamp == 0 || !nx_ops_valid(content)",
    "|| timestamp == 0",
  ],
  ["a collected version is still counted", "chain.c", "  chains->versions -= 1;\n", ""],
  ["a value is not looked at before it is taken", "fold.c", "|| !nx_value_valid(op.type, op.first)))", "))"],
])(
  "turns red when %s",
  async (_breaks, file, from, to) => {
    expect(await modules.notices([`versions/${file}`, from, to], MAIN)).toBe(true);
  },
  180_000,
);
