/**
 * `node-x selftest`: does this executable work on this host? Known answers, not guesses.
 *
 * Run after copying the executable: it finds a damaged file, a missing processor feature, a C library that
 * does not load, a compressor that does not agree with another implementation.
 */
import { Exit } from "../core/errors.ts";
import { asNxError, colorsFor, printJson } from "./print.ts";
import { defineVerb } from "./verb.ts";

interface SelfTest {
  name: string;
  /** Returns what was shown; throws when it does not hold. */
  run(): Promise<string>;
}

const selfTests: SelfTest[] = [
  { name: "native", run: async () => (await import("./selftests/native.ts")).nativeAbi() },
  { name: "crc32c", run: async () => (await import("./selftests/codec.ts")).crc32cVectors() },
  { name: "crc32c-native", run: async () => (await import("./selftests/native.ts")).nativeCrc32c() },
  { name: "log-frame", run: async () => (await import("./selftests/native.ts")).nativeFrames() },
  { name: "zstd", run: async () => (await import("./selftests/zstd.ts")).zstdRoundTrip() },
  { name: "zstd-oracle", run: async () => (await import("./selftests/zstd.ts")).zstdAgainstBuiltIn() },
  { name: "zstd-damage", run: async () => (await import("./selftests/zstd.ts")).zstdNoticesDamage() },
  { name: "schemas", run: async () => (await import("./selftests/schemas.ts")).schemasHold() },
];

interface Result {
  name: string;
  ok: boolean;
  detail: string;
}

async function runOne(selfTest: SelfTest): Promise<Result> {
  try {
    return { name: selfTest.name, ok: true, detail: await selfTest.run() };
  } catch (thrown) {
    return { name: selfTest.name, ok: false, detail: asNxError(thrown).message };
  }
}

export const selftestVerb = defineVerb({
  name: "selftest",
  summary: "Check that this executable works on this host, against known answers",
  args: { json: { type: "boolean", description: "Print JSON" } },
  examples: [
    { command: "node-x selftest", shows: "Check a freshly copied executable" },
    { command: "node-x selftest --json", shows: "The same for programs" },
  ],
  async run({ args, stdout, environment }) {
    const results: Result[] = [];
    for (const selfTest of selfTests) results.push(await runOne(selfTest));
    const isOk = results.every((result) => result.ok);
    if (args.json) printJson(stdout, { ok: isOk, results });
    else {
      const colors = colorsFor(stdout, environment);
      for (const { name, ok, detail } of results)
        stdout.write(`${ok ? colors.green("ok") : colors.red("FAILED")} ${name}: ${detail}\n`);
    }
    return isOk ? Exit.ok : Exit.failed;
  },
});
