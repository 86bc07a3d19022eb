/** The hub in this process, its page in a real browser. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Browser, type Page } from "playwright-core";
import { loadConfig } from "../../src/core/config/load.ts";
import { Instance } from "../../src/core/kernel/instance.ts";
import { logOutput } from "../../src/core/logging/log.ts";
import { realWorld } from "../../src/core/seams/world-real.ts";
import { hub } from "../../src/hub/role.ts";
import { VIEWERS_MAX, Viewers } from "../../src/hub/viewers.ts";
import { schemaCatalog } from "../../src/roles.ts";
import { startEcho, until, type TestInstance } from "../core/kernel/harness.ts";

const directory = mkdtempSync(join(tmpdir(), "node-x-hub-"));
let instances: TestInstance[];
let running: Instance;
let base: string;

/** An admin endpoint that says what a hostile instance might. */
const hostile = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: () =>
    Response.json({
      instance: "<b id=evil>evil</b>",
      role: "echo",
      version: "1",
      state: "starting",
      ready: false,
      reasons: ["<img src=x onerror=\"document.body.id='evil'\">"],
      uptimeSeconds: 1,
      ports: {},
      keyFigure: "\u202e</script><script>document.body.id='evil'</script>",
      process: { rssBytes: 1, cpuUserSeconds: 0, cpuSystemSeconds: 0 },
    }),
});

async function startHub(targets: string[], name = "hub"): Promise<Instance> {
  const file = join(directory, `${name}.hub0.json`);
  await Bun.write(
    file,
    JSON.stringify({
      port: 0,
      metricsPort: null,
      dataDir: join(directory, name),
      instances: targets,
      scrapePeriodMs: 100,
    }),
  );
  const loaded = await loadConfig(
    { file, environment: {}, sets: [], workingDirectory: directory },
    schemaCatalog,
  );
  return Instance.start(hub, loaded, { world: realWorld(), logOutput: logOutput("fatal", []), onFatal() {} });
}

beforeAll(async () => {
  instances = [await startEcho(), await startEcho({ config: { greeting: 13, instance: "echo-two" } })];
  running = await startHub([
    ...instances.map(({ directory: { dataDir } }) => dataDir),
    "/nonexistent/gone",
    `http://127.0.0.1:${hostile.port}`,
  ]);
  base = `http://127.0.0.1:${running.ports.port}`;
});

afterAll(async () => {
  await running.stop();
  await hostile.stop(true);
  for (const instance of instances) await instance[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

describe("over HTTP", () => {
  test("the page has a strict policy, an etag, and names its files by digest", async () => {
    const response = await fetch(base);
    const html = await response.text();
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    const again = await fetch(base, { headers: { "if-none-match": response.headers.get("etag") ?? "" } });
    expect(again.status).toBe(304);
    const paths = [...html.matchAll(/(?:src|href)="(\/page-[0-9a-f]{16}\.\w+)"/g)].map(
      (match) => match[1] as string,
    );
    expect(paths).toHaveLength(2);
    for (const path of paths) {
      const asset = await fetch(base + path);
      expect(asset.status).toBe(200);
      expect(asset.headers.get("cache-control")).toContain("immutable");
      const plain = await fetch(base + path, { headers: { "accept-encoding": "identity" } });
      expect(plain.headers.get("content-encoding")).toBeNull();
      expect(await plain.text()).toBe(await asset.text());
    }
    // Nothing is fetched from anywhere else: the only address in the page is the name space of its icon.
    const addresses =
      (await Promise.all(["", ...paths].map(async (path) => (await fetch(base + path)).text())))
        .join("")
        .match(/https?:\/\/[\w.]+/g) ?? [];
    expect([...new Set(addresses)].filter((address) => !address.startsWith("http://www.w3.org"))).toEqual([]);
  });

  test("the instances are there as JSON", async () => {
    const snapshots = await (await fetch(`${base}/api/instances`)).json();
    expect(snapshots.map(({ condition }: { condition: string }) => condition)).toEqual([
      "ready",
      "not ready",
      "unreachable",
      "not ready",
    ]);
    expect(running.stats().keyFigure).toBe("1 of 4 instances ready");
  });

  test("a stop ends open event streams and returns", async () => {
    const other = await startEcho();
    const file = join(directory, "other.hub0.json");
    await Bun.write(
      file,
      JSON.stringify({
        port: 0,
        metricsPort: null,
        dataDir: join(directory, "other"),
        instances: [other.directory.dataDir],
      }),
    );
    const loaded = await loadConfig(
      { file, environment: {}, sets: [], workingDirectory: directory },
      schemaCatalog,
    );
    const second = await Instance.start(hub, loaded, {
      world: realWorld(),
      logOutput: logOutput("fatal", []),
      onFatal() {},
    });
    const events = await fetch(`http://127.0.0.1:${second.ports.port}/api/events`);
    const reader = events.body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toStartWith("event: full\n");
    expect(await second.stop()).toBe(true);
    await reader.cancel().catch(() => {});
    await other[Symbol.asyncDispose]();
  });
});

describe("open pages", () => {
  test("are bounded in number", () => {
    const viewers = new Viewers(() => ({}));
    for (let index = 0; index < VIEWERS_MAX; index++) expect(viewers.open()).toBeDefined();
    expect(viewers.open()).toBeUndefined();
    viewers.close();
    expect(viewers.open()).toBeDefined();
  });

  test("that do not read cost a few events and are brought up to date later", async () => {
    let full = 0;
    const viewers = new Viewers(() => ({ full: ++full }));
    const reader = viewers.open()!.getReader();
    for (let tick = 0; tick < 1000; tick++) viewers.tick(() => ({ tick }));
    const read = async () => new TextDecoder().decode((await reader.read()).value).split("\n")[0];
    const kept: (string | undefined)[] = [];
    for (let index = 0; index < 8; index++) kept.push(await read());
    expect(kept).toEqual(["event: full", ...Array.from({ length: 7 }, () => "event: tick")]);
    viewers.tick(() => ({ tick: 1000 }));
    expect(await read()).toBe("event: full");
    viewers.tick(() => ({ tick: 1001 }));
    expect(await read()).toBe("event: tick");
  });
});

describe.skipIf(Bun.which("chromium") === null)("in a browser", () => {
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    const flags = [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ];
    browser = await chromium.launch({ executablePath: Bun.which("chromium") as string, args: flags });
    page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("requestfailed", (request) => complaints.push(request.url()));
    await page.goto(base);
    await page.waitForSelector("tbody tr");
  }, 60_000);
  afterAll(() => browser.close());

  const rowTexts = () => page.locator("tbody tr").allInnerTexts();

  test("the table shows each instance with its state and the reasons", async () => {
    const rows = await rowTexts();
    expect(rows).toHaveLength(4);
    expect(rows[0]).toContain("ready");
    expect(rows[1]).toContain("13 is not a good number");
    expect(rows[2]).toContain("unreachable");
    expect(await page.locator("[role=status]").innerText()).toBe(
      "1 of 4 instances ready: echo-two is not ready, gone is unreachable, <b id=evil>evil</b> is not ready",
    );
    expect(
      await page.locator("tbody tr").first().locator("svg[role=img]").getAttribute("aria-label"),
    ).toContain("% CPU");
  });

  test("what an instance says is text, never markup", async () => {
    expect(await page.locator("#evil").count()).toBe(0);
    const text = (await rowTexts())[3] ?? "";
    expect(text).toContain("<b id=evil>evil</b>");
    expect(text).toContain("<img src=x onerror=");
  });

  test("it follows what changes, without being loaded again", async () => {
    const { instance, directory: config } = instances[1] as TestInstance;
    await instance.reload(await config.configure({ instance: "echo-two", greeting: 1 }).load());
    await until("the change on the page", async () =>
      (await page.title()).startsWith("2 of 4 instances ready") ? true : undefined,
    );
    expect((await rowTexts())[1]).not.toContain("13 is not a good number");
  });

  test("with the keyboard: first a way past the list of pages, and on a new page one goes on in it", async () => {
    const other = await browser.newPage();
    const focused = () =>
      other.evaluate("document.activeElement.id || document.activeElement.textContent.trim()");
    await other.goto(`${base}#/channels`);
    await other.waitForSelector("main h1");
    await other.keyboard.press("Tab");
    expect(await focused()).toBe("To the figures");
    await other.keyboard.press("Enter");
    expect(await focused()).toBe("main");
    expect(new URL(other.url()).hash).toBe("#/channels");
    await other.goto(`${base}#/`);
    await other.locator("tbody a").first().focus();
    await other.keyboard.press("Enter");
    await until("the focus in the new page", async () => ((await focused()) === "main" ? true : undefined));
    await other.close();
  });

  test("on a phone nothing is wider than the screen, in light and dark", async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
    }
    const background = (await page.evaluate("getComputedStyle(document.body).backgroundColor")) as string;
    expect(background).toBe("rgb(15, 19, 25)");
  });

  test("the browser has nothing to complain about", () => {
    expect(complaints).toEqual([]);
  });

  test("of many instances a graph has the first ones, and says of how many more it has none", async () => {
    const many = await startHub(
      Array.from({ length: 30 }, (_, index) => `/nonexistent/node${index}`),
      "many",
    );
    const other = await browser.newPage();
    await other.goto(`http://127.0.0.1:${many.ports.port}/`);
    const legend = other.locator(".card", { hasText: "Memory" }).locator(".legend");
    await legend.getByText("6 more, on their own pages").waitFor();
    expect(await legend.innerText()).toContain("and 16 smaller");
    await other.close();
    await many.stop();
  });

  test("it says so when the hub goes away", async () => {
    await running.stop();
    await page.waitForSelector("[role=alert]");
    expect(await page.locator("[role=alert]").innerText()).toContain("The hub does not answer");
  });
});
