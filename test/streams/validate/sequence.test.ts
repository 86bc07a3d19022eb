/** The judge of verified streams: what the original's validator passes and refuses, and what it overlooked. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { detectorOutput } from "../../../src/streams/validate/oracle.ts";
import {
  SequenceJudge,
  strictRules,
  windowFault,
  type SequenceRules,
} from "../../../src/streams/validate/sequence.ts";
import { verifyParts } from "../../../src/streams/validate/verify.ts";
import { parseWindow } from "../../../src/streams/validate/window-text.ts";
import { frameOf } from "../../../src/streams/wire/frame.ts";

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += 1000) yield bytes.subarray(at, at + 1000);
}

const framed = (bodies: Iterable<string>) =>
  Buffer.concat([...bodies].map((body) => frameOf(Buffer.from(body))));
const verify = (bodies: Iterable<string>, rules: Partial<SequenceRules> = {}) =>
  verifyParts([{ source: "f", chunks: chunksOf(framed(bodies)) }], { ...strictRules, ...rules });

/** Keys k0 … with the values 1 to n each, in an order that keeps each key's own. */
function interleaved(keys: number, until: number): string[] {
  const outputs = Array.from({ length: keys }, (_, index) => [...detectorOutput(`k${index}`, until)]);
  return Array.from({ length: until }, (_, at) => outputs.map((output) => output[at] as string)).flat();
}

describe("a window", () => {
  test.each([[[1]], [[1, 2, 3]], [[0, 0, 1]], [[0, 1]], [[10, 11, 12, 13]], [[0, 0, 0, 1]], [[0, 1, 2, 3]]])("%j is right", (values) => {
    expect(windowFault(values)).toBeUndefined();
  });

  test.each([[[0, 2]], [[0, 0, 2]], [[1, 2, 3, 5]], [[1, 3, 4, 5]], [[0, 0, 0, 0]], [[2]], [[]], [[1, 0, 1]], [[4, 3]]])("%j is wrong", (values) => {
    expect(windowFault(values)).toBeDefined();
  });

  test("is read from both of the original's forms", () => {
    expect(parseWindow("(key_3.TraceID-1.TraceWindow-1,[0,0,0,1])")).toEqual({
      key: "key_3",
      trace: ".TraceID-1.TraceWindow-1",
      values: [0, 0, 0, 1],
    });
    expect(parseWindow('{"key":"key_3","value":[1,2,3,4],"trace":"","ts":1}')).toEqual({
      key: "key_3",
      trace: "",
      values: [1, 2, 3, 4],
    });
    for (const text of ["", "x", "(a,[1,b])", "{", '{"key":1}', "(a,[1])x"]) expect(() => parseWindow(text)).toThrow();
  });
}); // prettier-ignore

describe("strict V(n)", () => {
  const keys = ["k0", "k1", "k2"];
  const rules = { keys, expected: 20 };

  test("holds for what the oracle of the detector writes", async () => {
    expect(await verify(interleaved(3, 20), rules)).toEqual({
      ...{ isValid: true, records: 60, keys: 3, reached: 20, rewinds: 0, violation: null },
    });
  });

  test("any single record lost, repeated, swapped or changed is noticed (control of every rule)", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(59), fc.constantFrom("lose", "repeat", "swap", "change"), async (at, what) => {
        const records = interleaved(3, 20);
        if (what === "lose") records.splice(at, 1);
        else if (what === "repeat") records.splice(at, 0, records[at] as string);
        else if (what === "change")
          records[at] = (records[at] as string).replace(/\d+\]/, (end) => `${parseInt(end) + 1}]`);
        else {
          // Of one key: nothing is promised between keys.
          const other = at < 57 ? at + 3 : at - 3;
          [records[at], records[other]] = [records[other] as string, records[at] as string];
        }
        expect((await verify(records, rules)).isValid).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  test("the first violation is named: rule, key, previous, found, byte", async () => {
    const records = interleaved(1, 10);
    const place = { source: "f", offset: framed(records.slice(0, 5)).byteLength };
    records.splice(5, 1);
    const { violation } = await verify(records);
    expect(violation).toEqual({
      rule: "sequence",
      text: "k0 goes from 5 to 7: 1 values are missing",
      key: "k0",
      previous: 5,
      found: [4, 5, 6, 7],
      place,
    });
  });

  test("a lost beginning is noticed, which the original's validator overlooks", async () => {
    const { violation } = await verify(interleaved(1, 20).slice(6), { keys: ["k0"], expected: 20 });
    expect(violation?.text).toBe("k0 begins with 7 and not with 1");
    expect((await verify(interleaved(1, 20).slice(6), { first: 7 })).isValid).toBe(true);
  });

  test("an unknown key, a missing one, a wrong end and no record at all are noticed", async () => {
    expect((await verify(interleaved(3, 20), { keys: ["k0", "k1"] })).violation?.rule).toBe("key");
    expect((await verify(interleaved(2, 20), rules)).violation?.text).toBe("k2 never came");
    expect((await verify(interleaved(3, 19), rules)).violation?.text).toBe("k0 ends with 19 and not with 20");
    expect((await verify([], { expected: 5 })).violation?.rule).toBe("keys");
  });

  test("at-least-once: a rewind passes, a jump does not", async () => {
    const output = interleaved(1, 20);
    const rewound = [...output.slice(0, 15), ...output.slice(10)];
    expect((await verify(rewound, { isExactlyOnce: false, expected: 20 })).rewinds).toBe(1);
    expect((await verify(rewound)).violation?.text).toBe("k0 goes from 15 to 11: a value comes again");
    const jumped = [...output.slice(0, 10), ...output.slice(12)];
    expect((await verify(jumped, { isExactlyOnce: false })).violation?.rule).toBe("sequence");
  });

  test("a torn record and one that is none are violations at their byte", async () => {
    const bytes = framed(interleaved(1, 3));
    const torn = await verifyParts([{ source: "f", chunks: chunksOf(bytes.subarray(0, -1)) }], strictRules);
    expect(torn.violation).toMatchObject({ rule: "record", text: "the last record is torn" });
    const { violation } = await verify([...interleaved(1, 2), "nonsense"]);
    expect(violation).toMatchObject({
      rule: "record",
      place: { offset: framed(interleaved(1, 2)).byteLength },
    });
  });

  test("tells how far every key has certainly come", () => {
    const judge = new SequenceJudge({ ...strictRules, keys: ["a", "b"] });
    judge.judge({ key: "a", trace: "", values: [1] }, { source: "", offset: 0 });
    expect(judge.reached).toBe(0);
    judge.judge({ key: "b", trace: "", values: [1] }, { source: "", offset: 0 });
    expect(judge.reached).toBe(1);
  });
});
