/** What would break the promise of timestamps, and the scenario that notices. */
import { testMutants } from "../../mutants.ts";

const FILE = "test/reactive/tss/tss.test.ts";

testMutants(
  [
    {
      breaks: "prefetch: a client keeps timestamps for later",
      file: "src/reactive/tss/client.ts",
      from: "  next(): Promise<number> {\n",
      to: `  #kept: number[] = [];
  async next(): Promise<number> {
    const kept = this.#kept.shift();
    if (kept !== undefined) return kept;
    const first = await this.#take(4);
    this.#kept.push(first + 1, first + 2, first + 3);
    return first;
`,
      noticedBy: [FILE, "timestamps begin with 1 and are unique"],
    },
    {
      breaks: "a snapshot forgets the counter",
      file: "src/reactive/tss/timestamps.ts",
      from: "return { chunks: [encodeTimestamp(this.#bound)]",
      to: "return { chunks: [encodeTimestamp(0)]",
      noticedBy: ["test/reactive/tss/snapshot.test.ts", "a restart from a snapshot"],
    },
    {
      breaks: "a new primary goes on with what it gave out itself",
      file: "src/reactive/tss/timestamps.ts",
      from: "      this.#last = this.#bound;\n",
      to: "",
      noticedBy: [FILE, "S19, tss"],
    },
    {
      breaks: "more is given out than was reserved",
      file: "src/reactive/tss/timestamps.ts",
      from: "if (this.#last + count > this.#bound)",
      to: "if (this.#last + count > this.#bound && this.#bound === 0)",
      noticedBy: [FILE, "one reservation serves"],
    },
    {
      breaks: "what is reserved is given out without a lease",
      file: "src/reactive/replication/lease.ts",
      from: "commit >= op && (isHeld || answeredMs >= arrivedAtMs)",
      to: "commit >= op",
      noticedBy: [FILE, "S21, tss"],
    },
    {
      breaks: "each request makes a round of its own",
      file: "src/reactive/tss/client.ts",
      from: "this.#waiting.splice(0, COUNT_MAX);",
      to: "this.#waiting.splice(0, 1);",
      noticedBy: [FILE, "one round serves all"],
    },
    {
      breaks: "a round is made for requests that may come",
      file: "src/reactive/tss/client.ts",
      from: "this.#take(callers.length).then(",
      to: "this.#take(callers.length + 1).then(",
      noticedBy: [FILE, "one round serves all"],
    },
    {
      breaks: "several callers of one request get the same timestamp",
      file: "src/reactive/tss/client.ts",
      from: "caller.resolve(first + index)",
      to: "caller.resolve(first)",
      noticedBy: [FILE, "timestamps begin with 1 and are unique"],
    },
  ],
  ["test/reactive", "test/mutants.ts"],
);
