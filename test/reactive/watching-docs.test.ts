/** The commands of docs/watching.md are run as they stand, against a store of real processes, and show what the page says. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../e2e/executable.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";

setDefaultTimeout(60_000);

const root = join(import.meta.dir, "../..");

test("curl watches and writes, and a whole client fits on the page", async () => {
  using store = await StoreProcesses.create({ tss: 1, shards: 2, replicas: 1, frontends: 1 });
  await store.startAll();
  const page = readFileSync(join(root, "docs/watching.md"), "utf8");
  const [watch = "", writes = "", client = ""] = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(
    ([, code = ""]) => code.replaceAll("127.0.0.1:12355", `127.0.0.1:${store.frontendPorts[0]}`),
  );
  const run = (code: string) =>
    Bun.spawn(["sh", "-c", code.replace(/^bun /, `${process.execPath} `)], {
      cwd: root,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
    });
  const watching = run(`exec ${watch}`);
  try {
    let seen = "";
    const reading = (async () => {
      for await (const chunk of watching.stdout) seen += new TextDecoder().decode(chunk);
    })();
    await until("the first run", () => seen.includes('"cause":"first"') || undefined);
    expect(await run(writes).exited).toBe(0);
    const both =
      /"cause":"changed","changes":1,"values":\[\{"key":"greeting".*"text":"hello again".*"key":"visits"/;
    await until("one run for one transaction", () => both.test(seen) || undefined);
    await until("progress", () => seen.includes("event: progress") || undefined);
    watching.kill();
    await reading;
  } finally {
    watching.kill();
  }
  const output = await new Response(run(client).stdout).text();
  expect(output).toMatch(/^\d+ first hello again\n\d+ changed hello 1\n\d+ changed hello 2\n$/);
});
