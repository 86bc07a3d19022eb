/** Stream applications as a user has them: files in some directory, run by the compiled executable alone. */
import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LoneExecutable, until } from "./executable.ts";
import { Receiver, sendRecords } from "../streams/framed-client.ts";

const LIMIT_MS = 120_000;

const application = `
import { app, framed } from "node-x/stream";
import type { Out } from "node-x/stream";
import { shout } from "./lib/shout.ts";
export default app("shout", (a) => {
  a.source("In", { framing: framed(), decode: (frame) => frame.text(0) })
    .keyBy((word: string) => word.charAt(0))
    .state("seen", { init: () => ({ count: 0 }) }, (word: string, state, out: Out<string>) => {
      state.count += 1;
      out.emit(shout(word) + state.count);
    })
    .to(a.sink("Out", { framing: framed(), encode: (text: string, out) => out.utf8(text) }));
});
`;

function makeApp(directory: string): string {
  mkdirSync(join(directory, "apps/lib"), { recursive: true });
  writeFileSync(
    join(directory, "apps/lib/shout.ts"),
    "export const shout = (word: string): string => word.toUpperCase();\n",
  );
  writeFileSync(join(directory, "apps/shout.ts"), application);
  return "apps/shout.ts";
}

async function portOf(directory: string, key: string): Promise<number> {
  return until(`the port ${key}`, () => {
    try {
      const ports = JSON.parse(readFileSync(join(directory, "data/ports.json"), "utf8")) as Record<
        string,
        number
      >;
      return ports[key];
    } catch {
      return undefined;
    }
  });
}

interface WorkerStats {
  pid: number;
  worker: { checkpoint: number; recordsIn: number; keys: Record<string, number> };
}

async function statsPage(directory: string): Promise<WorkerStats> {
  const response = await fetch("http://x/stats", { unix: join(directory, "data/admin.sock") });
  return (await response.json()) as WorkerStats;
}

const statsOf = async (directory: string) => (await statsPage(directory)).worker;

test(
  "the executable loads an application from any directory, and its state survives kill -9",
  async () => {
    using alone = await LoneExecutable.copy();
    using receiver = new Receiver();
    const app = makeApp(alone.directory);
    const configuration = {
      ...{ app, dataDir: "data", controlPort: 0, dataPort: 0, checkpointMs: 20 },
      sources: ["In=tcp://127.0.0.1:0"],
      sinks: [`Out=tcp://127.0.0.1:${receiver.port}`],
    };
    writeFileSync(join(alone.directory, "worker.json"), JSON.stringify(configuration));

    const first = alone.start(["run", "worker", "-c", "worker.json"]);
    await sendRecords(await portOf(alone.directory, "source.In"), ["one", "other", "two"]);
    expect(await receiver.count(3)).toEqual(["ONE1", "OTHER2", "TWO1"]);
    const { checkpoint } = await statsOf(alone.directory);
    // One that began after the last output holds it.
    await until(
      "a checkpoint of all that",
      async () => (await statsOf(alone.directory)).checkpoint > checkpoint + 1 || undefined,
    );
    first.kill("SIGKILL");
    await first.exited;

    const second = alone.start(["run", "worker", "-c", "worker.json"]);
    const seen = until("the state", async () => {
      try {
        return (await statsOf(alone.directory)).keys.seen === 2 || undefined;
      } catch {
        return undefined;
      }
    });
    await seen;
    await sendRecords(await portOf(alone.directory, "source.In"), ["old", "three"]);
    expect((await receiver.count(5)).slice(3)).toEqual(["OLD3", "THREE2"]);
    // SIGTERM keeps the states, --fresh begins without them.
    second.kill("SIGTERM");
    expect(await second.exited).toBe(0);
    const keysOf = async (...words: string[]) => {
      const worker = alone.start(["run", "worker", "-c", "worker.json", ...words]);
      const { keys } = await until("the worker", async () => {
        try {
          const { pid, worker: told } = await statsPage(alone.directory);
          return pid === worker.pid && told.checkpoint !== undefined ? told : undefined;
        } catch {
          return undefined;
        }
      });
      worker.kill("SIGKILL");
      await worker.exited;
      return keys.seen;
    };
    expect(await keysOf()).toBe(2);
    expect(await keysOf("--fresh")).toBe(0);
  },
  LIMIT_MS,
);

test(
  "an application that cannot be loaded is refused with its reason",
  async () => {
    using alone = await LoneExecutable.copy();
    writeFileSync(
      join(alone.directory, "broken.ts"),
      "import { app } from 'node-x/stream';\nexport default 4;\n",
    );
    writeFileSync(
      join(alone.directory, "worker.json"),
      JSON.stringify({ app: "broken.ts", dataDir: "data" }),
    );
    const { code, stderr } = await alone.run(["run", "worker", "-c", "worker.json"]);
    expect(code).toBe(78);
    expect(stderr).toContain("broken.ts has no application as its default export");
  },
  LIMIT_MS,
);

test(
  "stream init writes a sample that runs, types that fit it, and a module that tests it",
  async () => {
    using alone = await LoneExecutable.copy();
    expect((await alone.run(["stream", "init", "word-count", "--dir", "work"])).code).toBe(0);
    const directory = join(alone.directory, "work");
    // What an older version wrote is renewed, and the application stays as its author has it.
    const types = join(directory, "node_modules/node-x/stream.d.ts");
    const whole = readFileSync(types, "utf8");
    writeFileSync(types, "older");
    const again = await alone.run(["stream", "init", "word-count", "--dir", "work"]);
    expect([again.code, readFileSync(types, "utf8")]).toEqual([73, "older"]);
    expect(again.stderr).toContain("--types");
    writeFileSync(
      join(directory, "word-count.ts"),
      `${readFileSync(join(directory, "word-count.ts"), "utf8")}\n`,
    );
    expect((await alone.run(["stream", "init", "--types", "--dir", "work"])).code).toBe(0);
    expect(readFileSync(types, "utf8")).toBe(whole);
    expect(readFileSync(join(directory, "word-count.ts"), "utf8")).toEndWith("\n\n");
    writeFileSync(
      join(directory, "word-count.test.ts"),
      `import { test } from "bun:test";
       import { testApp } from "node-x/stream";
       import wordCount from "./word-count.ts";
       test("counts", () => void testApp(wordCount).feed("Lines", ["to be", "to do"])
         .expect("counts", ["to: 1", "be: 1", "to: 2", "do: 1"]));`,
    );
    const bun = async (...words: string[]) => {
      const child = Bun.spawn([process.execPath, ...words], {
        cwd: directory,
        stdout: "pipe",
        stderr: "pipe",
      });
      const text = (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
      return { code: await child.exited, text };
    };
    const tested = await bun("test", "word-count.test.ts");
    expect(tested.text).toContain("1 pass");
    const options = {
      strict: true,
      noEmit: true,
      module: "Preserve",
      moduleResolution: "bundler",
      target: "ESNext",
      types: [],
    };
    writeFileSync(
      join(directory, "tsconfig.json"),
      JSON.stringify({ compilerOptions: options, files: ["word-count.ts"] }),
    );
    const checked = await bun("check", "--no-script", "-p", "tsconfig.json");
    expect(checked.text).toContain("No type errors");
  },
  LIMIT_MS,
);
