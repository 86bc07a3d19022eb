/** An archive that dies while it writes to a bucket: the bucket restores what it was said to have, at every moment. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { exploreBucket, honest, manifestFirst, removedFirst } from "./bucket-harness.ts";

setDefaultTimeout(120_000);

test.each([
  ["follows it", "second"],
  ["is its primary", "primary"],
] as const)(
  "whenever an archive dies, a bucket that %s restores every point that it had, and the next start completes it",
  (_how, mode) => {
    const { moments, violations } = exploreBucket(honest, mode);
    console.log(`${moments} moments`);
    expect(violations.slice(0, 5)).toEqual([]);
    expect(moments).toBeGreaterThan(80);
  },
);

test.each([
  ["the manifest is written before what it names", manifestFirst],
  ["objects are removed before the manifest says so", removedFirst],
] as const)("it is found out when %s", (_breaks, subject) => {
  expect(exploreBucket(subject).violations.length).toBeGreaterThan(0);
});
