/** The client outside Bun: bundled for Node and for a browser, against real servers. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { PresenceService } from "../e2e/presence-service.ts";

let service: PresenceService;
const directory = mkdtempSync(join(tmpdir(), "node-x-portable-"));

beforeAll(async () => {
  service = await PresenceService.start();
}, 60_000);
afterAll(async () => {
  await service?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

async function bundle(target: "node" | "browser"): Promise<string> {
  const entrypoints = [join(import.meta.dir, "portable-client.ts")];
  const { outputs } = await Bun.build({ entrypoints, target, format: "esm" });
  return (await outputs[0]?.text()) as string;
}

const servers = () => ({
  regServer: service.regserver.url,
  lookupServers: service.lookups.map(({ url }) => url),
  privacyLevel: 1,
});

test("the client runs in Node", async () => {
  writeFileSync(join(directory, "client.mjs"), await bundle("node"));
  const script = `
    import { run } from "./client.mjs";
    const servers = ${JSON.stringify(servers())};
    console.log(await run(servers, async () => void (await fetch(servers.regServer + "/debugfastforward"))));
  `;
  writeFileSync(join(directory, "run.mjs"), script);
  const child = Bun.spawn(["node", "run.mjs"], { cwd: directory, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect({ stdout, stderr }).toEqual({ stdout: "online: sixteen bytes ok\n", stderr: "" });
}, 60_000);

test("the client runs in a browser, on a page of another origin, and needs nothing of Node's", async () => {
  const script = await bundle("browser");
  expect(script).not.toMatch(/node:|require\(/);
  const page = Bun.serve({
    ...{ port: 0, hostname: "127.0.0.1" },
    fetch: (request) =>
      request.url.endsWith("/client.js")
        ? new Response(script, { headers: { "content-type": "text/javascript" } })
        : new Response(
            `<!doctype html><link rel="icon" href="data:,"><script type="module" src="/client.js"></script>`,
            {
              headers: { "content-type": "text/html" },
            },
          ),
  });
  const browser = await chromium.launch({
    executablePath: Bun.which("chromium") as string,
    args: ["--no-sandbox"],
  });
  try {
    const tab = await browser.newPage();
    await tab.exposeFunction("advance", () => service.fastForward());
    await tab.goto(`http://127.0.0.1:${page.port}/`);
    await tab.waitForFunction("typeof runPresence === 'function'");
    const seen = await tab.evaluate(`runPresence(${JSON.stringify(servers())}, () => advance())`);
    expect(seen).toBe("online: sixteen bytes ok");
  } finally {
    await browser.close();
    await page.stop(true);
  }
}, 60_000);
