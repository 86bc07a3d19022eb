/** The range of keys that a log store tells of a channel. */
import { expect, test } from "bun:test";
import { widestRange } from "../../../src/channels/logfiles/store/key-range.ts";

test("a range over several sources is the smallest that holds all, and none over none", () => {
  expect(widestRange([])).toBeUndefined();
  expect(
    widestRange([
      { keyMin: 5n, keyMax: 9n },
      { keyMin: 2n, keyMax: 3n },
      { keyMin: 8n, keyMax: 12n },
    ]),
  ).toEqual({ keyMin: 2n, keyMax: 12n });
});
