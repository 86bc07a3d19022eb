/** A few rounds of kill -9 of an archive with a bucket; `bun run soak bucket-kill9` has 100 of each mode. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { runBucketKill9 } from "./bucket-kill9.ts";

setDefaultTimeout(240_000);

test.each(["second", "primary"] as const)(
  "an archive that is killed while it uploads (%s) loses no point that it acknowledged",
  async (mode) => {
    expect((await runBucketKill9(2, 7, mode)).acknowledged).toBe(2);
  },
);
