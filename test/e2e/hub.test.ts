/** The hub in front of a cluster of every role, its page in a real browser. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { chromium, type Browser, type Page } from "playwright-core";
import { parseAnswer } from "../../src/core/watch/answer.ts";
import { figures } from "../../src/hub/figures.ts";
import { alerts } from "../../src/hub/monitoring/alerts.ts";
import { type MetricsEntry, metricsFrame } from "../../src/streams/client/metrics.ts";
import { entryOf } from "../hub/stream/entry.ts";
import { until } from "./executable.ts";
import { LocalCluster } from "./local-cluster.ts";
import { accessibilityComplaints, becomesTrue } from "./page-checks.ts";

/** A limit for a machine under load, not a wait. */
const TEST_MS = 180_000;
/** Work is there to be seen, not to fill the machine. */
const WORK_PAUSE_MS = 100;
let cluster!: LocalCluster;
let stopWork: () => void = () => {};
let working: Promise<void> = Promise.resolve();

beforeAll(async () => {
  cluster = await LocalCluster.start({ allowsActions: true });
  await cluster.backUp();
  let isDone = false;
  stopWork = () => (isDone = true);
  working = (async () => {
    // An instance that is down for a while is part of the test: what was asked of it is lost.
    for (let round = 0; !isDone; round++) {
      await cluster.work(round).catch(() => undefined);
      await Bun.sleep(WORK_PAUSE_MS);
    }
  })();
}, TEST_MS);

afterAll(async () => {
  stopWork();
  await working;
  cluster?.[Symbol.dispose]();
}, TEST_MS);

const named = (name: string) => `local.${name}`;

describe("the table of figures", () => {
  test("is found in what every role says, by stats and by metrics", async () => {
    const missing: string[] = [];
    for (const name of cluster.names) {
      const answer = parseAnswer(JSON.parse((await cluster.ask(name, "/stats")).body));
      const metrics = (await cluster.ask(name, "/metrics")).body;
      for (const { id, roles, read, metric } of figures) {
        if (answer === undefined || (roles !== undefined && !roles.includes(answer.role))) continue;
        // The hub does no work of its own.
        if (id === "throughput" && answer.role === "hub") continue;
        if (read(answer) === undefined) missing.push(`${name}: ${id} in /stats`);
        if (metric !== undefined && !new RegExp(`^${metric}[{ ]`, "m").test(metrics))
          missing.push(`${name}: ${metric} in /metrics`);
      }
    }
    expect(missing).toEqual([]);
  });

  test("and the alerts ask for metrics that there are", async () => {
    // The hub began to poll when its instances were still starting.
    const federated = await until("everybody's metrics", async () => {
      const text = await (await fetch(`${cluster.hub()}/metrics`)).text();
      const told = text.match(/^node_x_ready\{/gm) ?? [];
      return told.length === cluster.names.length ? text : undefined;
    });
    const there = new Set([...federated.matchAll(/^([a-z0-9_]+)[{ ]/gm)].map((match) => match[1] as string));
    for (const { expression } of alerts) {
      const patterns = [...expression.matchAll(/__name__=~"([^"]+)"/g)].map(
        (match) => new RegExp(`^${match[1]}$`),
      );
      for (const pattern of patterns) expect([...there].filter((name) => pattern.test(name))).not.toEqual([]);
      const names = expression.match(/\b(?:node_x|process)_[a-z0-9_]+(?=[{\s[)]|$)/g) ?? [];
      expect(names.filter((name) => !there.has(name))).toEqual([]);
      expect(names.length + patterns.length).toBeGreaterThan(0);
    }
    for (const name of cluster.names) expect(federated).toContain(`instance="${named(name)}"`);
  });
});

describe.skipIf(Bun.which("chromium") === null)("the page", () => {
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];
  /** The address of a hub that was killed: the browser tells of the connection that broke. */
  let killedHub = "none";
  const foreign: string[] = [];

  beforeAll(async () => {
    const args = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
    browser = await chromium.launch({ executablePath: Bun.which("chromium") as string, args });
    page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    page.setDefaultTimeout(60_000);
    page.on("console", (message) => complaints.push(`${message.text()} ${message.location().url}`));
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => {
      if (!/^(http:\/\/127\.0\.0\.1:\d+\/|data:)/.test(request.url())) foreign.push(request.url());
    });
    await page.goto(cluster.hub());
    await page.waitForSelector("tbody tr");
  }, TEST_MS);
  afterAll(() => browser?.close(), TEST_MS);

  const go = async (where: string) => {
    await page.evaluate(`location.hash = ${JSON.stringify(`#/${where}`)}`);
    await page.waitForSelector("main h1");
  };
  const row = (name: string) =>
    page.locator("tbody tr", { has: page.getByRole("link", { name, exact: true }) });

  test(
    "shows every instance of every role, ready",
    async () => {
      const all = cluster.names.length;
      await page
        .locator("main .head")
        .getByText(`${all} of ${all} instances ready`, { exact: true })
        .waitFor();
      for (const name of cluster.names) expect(await row(name).innerText()).toContain("ready");
      const find = page.getByLabel("Find instances");
      await find.fill("dht READY");
      await until("the others to be left out", async () =>
        (await page.locator("tbody tr").count()) === 3 ? true : undefined,
      );
      await find.fill("");
    },
    TEST_MS,
  );

  test(
    "shows figures that move under load",
    async () => {
      await until("work on a dht node", async () => {
        const text = await row("dht0").innerText();
        const perSecond = Number(/([\d.]+)( k)? requests\/s/.exec(text)?.[1] ?? 0);
        return perSecond > 1 ? true : undefined;
      });
      const holds = () => row("dht1").locator("td").nth(1).innerText();
      const before = await holds();
      await until("more records", async () => ((await holds()) !== before ? true : undefined));
      await go("channels");
      const chart = page.getByRole("img", { name: /^Commands: 2 lines, at most [\d.]+( k)?\/s/ });
      await chart.waitFor();
      await page.getByRole("img", { name: "Hash space over 2 nodes: every hash has one node" }).waitFor();
      await page.getByRole("meter", { name: "jobs is full by" }).waitFor();
    },
    TEST_MS,
  );

  test(
    "finds lines in a log store",
    async () => {
      await go("channels");
      const search = page.getByRole("search");
      await search.getByLabel("Search").fill("-7 500");
      await search.getByRole("button", { name: "Search" }).click();
      await search.locator("li mark").first().waitFor();
      const lines = await search.locator(".lines li").allInnerTexts();
      expect(lines[0]).toMatch(/GET \/item\/\d+-7 500/);
      await search.getByLabel("Expression").check();
      await search.getByLabel("Search").fill("(");
      await search.getByRole("button", { name: "Search" }).click();
      await search
        .getByText(/regex|expression|missing/i)
        .last()
        .waitFor();
      await search.getByLabel("Search").fill("item/\\d+-7 5\\d\\d$");
      await search.getByRole("button", { name: "Search" }).click();
      await search.getByText(/^\d+ lines|^The first \d+ lines/).waitFor();
    },
    TEST_MS,
  );

  test(
    "shows a volume on its way to the archive, takes a snapshot when asked twice, and prints how to restore it",
    async () => {
      await go("backup");
      await page.getByRole("radiogroup", { name: /restorable points? of vol0/ }).waitFor();
      await page.locator(".flow").getByText("newest point").waitFor();
      const points = () => page.locator(".timeline circle").count();
      const before = await points();
      await page.getByRole("button", { name: "Snapshot…" }).click();
      const dialog = page.getByRole("dialog", { name: "Snapshot" });
      await dialog.getByRole("button", { name: "Snapshot", exact: true }).click();
      await dialog.getByText(/snapshot: gid \d+ of vol0/).waitFor();
      await dialog.getByRole("button", { name: "Close" }).click();
      await until("the new point", async () => ((await points()) > before ? true : undefined));
      const { port } = (await cluster.stats("archive0")).ports;
      expect(await page.locator("pre code").innerText()).toMatch(
        new RegExp(`^node-x walb restore -a 127\\.0\\.0\\.1 -p ${port} vol0 \\d+$`),
      );
    },
    TEST_MS,
  );

  test(
    "shows groups with their primary, epochs, workers with their checkpoints",
    async () => {
      await go("store");
      await page.getByText(/shard\d leads/).waitFor();
      expect(await page.getByText("no primary").count()).toBe(0);
      expect(await page.getByRole("table", { name: "Replicas of shard0" }).getByRole("row").count()).toBe(4);
      await go("presence");
      await page.getByText("Next one begins in").waitFor();
      await go("stream");
      await page.locator(".badge.leader").getByText("initializer").waitFor();
      await go(`instance/${named("queue0")}`);
      await page.getByRole("img", { name: /^Pushed: now/ }).waitFor();
    },
    TEST_MS,
  );

  test(
    "shows what stream workers tell over the original's protocol",
    async () => {
      await go("stream");
      const { metricsPort = 0 } = (await cluster.stats("hub0")).ports;
      const socket = connect(metricsPort, "127.0.0.1");
      socket.on("error", () => undefined);
      const told = (worker: string, category: MetricsEntry["category"]) => {
        const entry = entryOf(Math.floor(Date.now() / 1000), { worker, category }, { 20: 50, 22: 50 });
        return metricsFrame({ type: "payload", event: "metrics", topic: "metrics:shop", entry });
      };
      const tell = setInterval(() => {
        for (const worker of ["worker1", "worker2"])
          for (const category of ["start-to-end", "computation", "node-ingress-egress"] as const)
            socket.write(told(worker, category));
      }, 200);
      // The cluster's own worker, and others that speak the protocol.
      await page.getByRole("heading", { name: "market-spread", exact: true }).waitFor();
      await page.getByRole("heading", { name: "shop" }).waitFor();
      const pipelines = page.getByRole("table", { name: "Pipelines" }).filter({ hasText: "orders" });
      expect(await pipelines.innerText()).toContain("≤ 1.0 ms");
      await pipelines.getByRole("button", { name: "orders" }).click();
      await page.getByText("orders: percent of messages by latency").waitFor();
      await page.getByRole("img", { name: /orders: messages per second: now/ }).waitFor();
      const parts = page.getByRole("table", { name: "Parts of orders", exact: true });
      await parts.getByRole("button", { name: "orders on worker2" }).click();
      await page.getByText("orders on worker2: percent of messages by latency").waitFor();
      clearInterval(tell);
      socket.destroy();
      expect(await accessibilityComplaints(page)).toEqual([]);
    },
    TEST_MS,
  );

  test(
    "shows an instance that falls silent, dies and comes back",
    async () => {
      await go("");
      const { pid } = await cluster.stats("dht1");
      process.kill(pid, "SIGSTOP");
      await row("dht1").getByText("unreachable", { exact: true }).waitFor();
      await page.locator(".concerns").getByText("does not answer").waitFor();
      process.kill(pid, "SIGKILL");
      await row("dht1").locator(".condition.ready").waitFor();
      await until("the restart to be counted", async () =>
        (await row("dht1").locator(".badge").allInnerTexts()).includes("1 restart") ? true : undefined,
      );
      await go("happenings");
      await page
        .getByText(/started anew \d+ s ago/)
        .first()
        .waitFor();
    },
    TEST_MS,
  );

  test(
    "keeps its graphs when the hub itself is killed",
    async () => {
      const lineOf = async (base: string) => {
        const toMs = Date.now();
        const question = `from=${toMs - 600_000}&to=${toMs}&line=${named("dht0")}/dht.records`;
        const answer = await (await fetch(`${base}/api/history?${question}`)).json();
        return (answer as { lines: { line: { atMs: number[] } }[] }).lines[0]?.line.atMs ?? [];
      };
      await until("a row in the file", async () => {
        const atMs = await lineOf(cluster.hub());
        return (atMs.at(-1) ?? 0) - (atMs[0] ?? 0) > 11_000 ? true : undefined;
      });
      const killedAtMs = Date.now();
      const before = cluster.hub();
      killedHub = before;
      process.kill((await cluster.stats("hub0")).pid, "SIGKILL");
      await until("the hub to come back", async () => {
        try {
          return cluster.hub() !== before && (await lineOf(cluster.hub())).length > 1 ? true : undefined;
        } catch {
          return undefined;
        }
      });
      const kept = (await lineOf(cluster.hub())).filter((atMs) => atMs < killedAtMs - 1000);
      expect(kept.length).toBeGreaterThan(0);
      await page.goto(cluster.hub());
      await page.waitForSelector("tbody tr");
    },
    TEST_MS,
  );

  test(
    "is judged by checks that find what is wrong",
    async () => {
      const other = await browser.newPage();
      await other.setContent(
        `<main></main><main></main><h3>skipped</h3><p style="color:#aaa">pale</p><a href="#"></a><input>
       <table><thead><tr><th>x</th></tr></thead></table><ul><p>no item</p></ul><i id=a></i><i id=a></i>`,
      );
      const found = (await accessibilityComplaints(other)).join("\n");
      for (const rule of [
        ...["no language", "no title", "1 of main", "1 of h1", "no name: <a", "no name: <input", "id twice"],
        ...["skips a level", "without caption", "no scope", "no list item", "contrast 2."],
      ])
        expect(found).toContain(rule);
      await other.close();
    },
    TEST_MS,
  );

  const places = [
    "",
    "channels",
    "store",
    "backup",
    "presence",
    "stream",
    "happenings",
    `instance/${named("dht0")}`,
  ];
  test(
    "can be read by everybody, wide and narrow, light and dark",
    async () => {
      const found: string[] = [];
      for (const [width, colorScheme] of [
        [1280, "light"],
        [360, "dark"],
      ] as const) {
        await page.setViewportSize({ width, height: 800 });
        await page.emulateMedia({ colorScheme });
        for (const place of places) {
          await go(place);
          await becomesTrue(
            page,
            "document.querySelector('figure svg') !== null || location.hash.length > 1",
          );
          for (const complaint of await accessibilityComplaints(page))
            found.push(`${place} ${colorScheme}: ${complaint}`);
          const scroll = (await page.evaluate("document.documentElement.scrollWidth")) as number;
          if (scroll > width) found.push(`${place}: ${scroll} px wide on ${width}`);
        }
      }
      expect(found).toEqual([]);
      await page.setViewportSize({ width: 1280, height: 800 });
    },
    TEST_MS,
  );

  test(
    "can be used without a mouse",
    async () => {
      await go("");
      const link = row("dht0").getByRole("link", { name: "dht0" });
      await link.focus();
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { level: 1, name: named("dht0") }).waitFor();
      const chart = page.getByRole("img", { name: /^Commands: now/ });
      await chart.focus();
      await page.keyboard.press("ArrowLeft");
      await page
        .getByText(/ at \d\d:\d\d:\d\d$/)
        .first()
        .waitFor();
      const range = page.getByLabel("Time range");
      await range.selectOption("1h");
      expect(page.url()).toContain("range=1h");
      await page.getByLabel("Colours").selectOption("dark");
      expect(await page.evaluate("getComputedStyle(document.body).backgroundColor")).toBe("rgb(15, 19, 25)");
    },
    TEST_MS,
  );

  test(
    "is at most 150 kB on the wire, and asks nobody else for anything",
    async () => {
      const html = await fetch(cluster.hub());
      const paths = [...(await html.text()).matchAll(/(?:src|href)="(\/page-[0-9a-f]{16}\.\w+)"/g)].map(
        (match) => match[1] as string,
      );
      expect(paths).toHaveLength(2);
      let bytes = 0;
      for (const path of ["/", ...paths]) {
        const answer = await fetch(cluster.hub() + path, {
          headers: { "accept-encoding": "gzip" },
          decompress: false,
        } as RequestInit);
        expect(answer.headers.get("content-encoding")).toBe("gzip");
        bytes += (await answer.arrayBuffer()).byteLength;
      }
      expect(bytes).toBeLessThan(150_000);
      expect(foreign).toEqual([]);
    },
    TEST_MS,
  );

  test("gave the browser nothing to complain about", () => {
    expect(complaints.filter((text) => !text.includes(killedHub))).toEqual([]);
  });
});
