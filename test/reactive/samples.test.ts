/** The sample applications in a real browser, two tabs each, on a store of real processes; the client library in Node. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { accessibilityComplaints, becomesTrue } from "../e2e/page-checks.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";

setDefaultTimeout(120_000);

let store: StoreProcesses;
let base: string;

beforeAll(async () => {
  store = await StoreProcesses.create({
    ...{ tss: 1, shards: 2, replicas: 1, frontends: 2 },
    frontendConfig: { samples: true },
  });
  await store.startAll();
  base = `http://127.0.0.1:${store.frontendPorts[0]}`;
});
afterAll(() => store[Symbol.dispose]());

describe("over HTTP", () => {
  test("the client library is one file that needs nothing else, for pages of every origin", async () => {
    const response = await fetch(`${base}/client.js`);
    expect(response.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    const script = await response.text();
    // What belongs to Node is asked for only where there is one.
    expect(script).not.toMatch(/\bfrom\s*"node:|\brequire\(|^import\s*"|bun:/m);
    const again = await fetch(`${base}/client.js`, {
      headers: { "if-none-match": response.headers.get("etag") ?? "" },
    });
    expect(again.status).toBe(304);
    expect(await (await fetch(`${base}/client.d.ts`)).text()).toContain("export function connect(");
  });

  test("samples are there where the configuration says so; their page loads nothing from elsewhere", async () => {
    const page = await fetch(`${base}/samples/game`);
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
    const html = await page.text();
    for (const [, path] of html.matchAll(/(?:src|href)="(\/[^"]+)"/g))
      expect((await fetch(base + path)).status).toBe(200);
    expect((await fetch(`${base}/`)).url).toBe(`${base}/samples`);
  });
});

test("the client library runs in Node: transactions, reactive ones, a queue in a file", async () => {
  const node = Bun.which("node");
  if (node === null) return;
  const directory = mkdtempSync(join(tmpdir(), "node-x-client-node-"));
  try {
    writeFileSync(join(directory, "client.mjs"), await (await fetch(`${base}/client.js`)).text());
    const script = `
      import { connect, counter, fileStorage, list } from "./client.mjs";
      const client = await connect({ frontends: [${JSON.stringify(base)}], storage: fileStorage("queue.log") });
      const clicks = counter("node:clicks");
      const say = client.queued("say", (transaction, words) => list("node:said").append(transaction, words));
      await client.execute((transaction) => clicks.set(transaction, 5));
      for await (const count of client.follow((transaction) => clicks.value(transaction))) {
        console.log("clicks", count);
        if (count === 7n) break;
        await client.execute((transaction) => clicks.increment(transaction));
      }
      const { settled } = await say("hello from Node");
      await settled;
      console.log(await client.readOnly((transaction) => list("node:said").value(transaction)));
      await client.close();
    `;
    writeFileSync(join(directory, "run.mjs"), script);
    // Node 20 has its WebSocket behind a flag, which later ones accept and need not.
    const child = Bun.spawn([node, "--experimental-websocket", "run.mjs"], {
      ...{ cwd: directory, stdout: "pipe", stderr: "pipe" },
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    expect(stderr.replace(/.*ExperimentalWarning.*\n|.*--trace-warnings.*\n/g, "")).toBe("");
    expect(stdout).toBe("clicks 5n\nclicks 6n\nclicks 7n\n[ 'hello from Node' ]\n");
    expect(await child.exited).toBe(0);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

describe.skipIf(Bun.which("chromium") === null)("in a browser", () => {
  let browser: Browser;
  const complaints: string[] = [];
  /** A tab of one visitor, on one of the frontends. */
  async function tab(path: string, frontend = 0): Promise<Page> {
    const page = await browser.newPage({ viewport: { width: 800, height: 700 } });
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(`http://127.0.0.1:${store.frontendPorts[frontend]}${path}`);
    return page;
  }

  beforeAll(async () => {
    const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
    browser = await chromium.launch({ executablePath: Bun.which("chromium") as string, args: flags });
  });
  afterAll(() => browser.close());

  test("two tabs play the 100 game to its end: one's move is the other's turn, and both see the winner", async () => {
    const [ada, bob] = [await tab("/samples/game?name=Ada"), await tab("/samples/game?name=Bob", 1)];
    await Promise.all([ada, bob].map((page) => page.locator("#players li", { hasText: "Bob" }).waitFor()));
    const order = (await ada.locator("#players li span").allInnerTexts()) as ["Ada" | "Bob", "Ada" | "Bob"];
    const players = order.map((name) => (name === "Ada" ? ada : bob));
    for (let turn = 0; turn < 10; turn++) {
      const player = players[turn % 2] as Page;
      await player.getByRole("button", { name: "10", exact: true }).click();
      for (const page of players)
        await page.locator("#score", { hasText: new RegExp(`^${(turn + 1) * 10}$`) }).waitFor();
    }
    // Ten moves of ten: the second player has made the last one.
    await players[1]?.getByText("You have won.").waitFor();
    await players[0]?.getByText(`${order[1]} has won.`).waitFor();
    expect(await players[0]?.getByRole("button", { name: "10", exact: true }).isDisabled()).toBe(true);
    await Promise.all([ada.close(), bob.close()]);
  });

  test("one tab's write runs the other tab's code again with one message and no request", async () => {
    const [writer, reader] = [await tab("/samples"), await tab("/samples")];
    const received: string[] = [];
    const sent: string[] = [];
    reader.on("websocket", (socket) => {
      socket.on("framereceived", ({ payload }) => received.push(kindOf(payload)));
      socket.on("framesent", ({ payload }) => sent.push(kindOf(payload)));
    });
    const start = `(async () => {
      const { connect, counter } = await import("/client.js");
      globalThis.client = await connect();
      globalThis.clicks = counter("browser:clicks");
      await client.connected();
    })()`;
    await Promise.all([writer.evaluate(start), reader.evaluate(start)]);
    await reader.evaluate(`(async () => {
      globalThis.seen = [];
      client.executeReactive(async (transaction) => void seen.push(Number(await clicks.value(transaction))));
    })()`);
    await becomesTrue(reader, "seen.length === 1");
    await reader.waitForTimeout(300);
    const before = { received: received.length, sent: sent.length };
    for (let turn = 1; turn <= 3; turn++) {
      await writer.evaluate("client.execute((transaction) => clicks.increment(transaction))");
      await becomesTrue(reader, `seen.at(-1) === ${turn}`);
    }
    expect(await reader.evaluate("seen")).toEqual([0, 1, 2, 3]);
    const isTraffic = (kind: string) => kind !== "progress" && kind !== "pong" && kind !== "ping";
    expect(received.slice(before.received).filter(isTraffic)).toEqual(["runs", "runs", "runs"]);
    expect(sent.slice(before.sent).filter(isTraffic)).toEqual(["ack", "ack", "ack"]);
    await Promise.all([writer.close(), reader.close()]);
  });

  test("a chat message is in the sender's list at once, and in the other tab's when it is committed", async () => {
    const [ada, bob] = [await tab("/samples/chat?name=Ada"), await tab("/samples/chat?name=Bob", 1)];
    await ada.getByLabel("Message as Ada").fill("<b>hello</b>");
    await ada.keyboard.press("Enter");
    await bob.locator("#messages li", { hasText: "<b>hello</b>" }).waitFor();
    await bob.getByLabel("Message as Bob").fill("hello, Ada");
    await bob.getByRole("button", { name: "Send" }).click();
    await ada.locator("#messages li", { hasText: "hello, Ada" }).waitFor();
    await ada.locator("#messages li:not(.pending)", { hasText: "hello, Ada" }).waitFor();
    expect(await ada.locator("#messages li").count()).toBe(2);
    await Promise.all([ada.close(), bob.close()]);
  });

  test("a message that is written without a connection is kept, also when the page is loaded again, and sent once", async () => {
    const ada = await tab("/samples/chat?name=Ada&room=kept");
    await ada.getByText("Nothing was said here yet").waitFor();
    await store.kill("c.frontend0");
    await ada.getByText("No connection").waitFor();
    await ada.getByLabel("Message as Ada").fill("from the tunnel");
    await ada.keyboard.press("Enter");
    await ada.getByText("(not sent yet)").waitFor();
    store.start("c.frontend0");
    await store.ready("c.frontend0");
    await ada.goto(`${base}/samples/chat?name=Ada&room=kept`);
    const bob = await tab("/samples/chat?name=Bob&room=kept", 1);
    await bob.locator("#messages li:not(.pending)", { hasText: "from the tunnel" }).waitFor();
    expect(await bob.locator("#messages li").count()).toBe(1);
    await Promise.all([ada.close(), bob.close()]);
    complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes("WebSocket")));
  });

  test("what a closed tab could not send is sent by another one, from whatever room it is opened in", async () => {
    const context = await browser.newContext();
    const inContext = async (path: string) => {
      const page = await context.newPage();
      await page.goto(base + path);
      return page;
    };
    const [staying, closing] = [
      await inContext("/samples/game?name=Ada"),
      await inContext("/samples/chat?name=Bob&room=left"),
    ];
    await closing.getByText("Nothing was said here yet").waitFor();
    await store.kill("c.frontend0");
    await closing.getByText("No connection").waitFor();
    await closing.getByLabel("Message as Bob").fill("left behind");
    await closing.keyboard.press("Enter");
    await closing.getByText("(not sent yet)").waitFor();
    // So that the next one does not get its log by chance.
    const log = await closing.evaluate("navigator.locks.query().then(({ held }) => held[0].name)");
    await closing.close();
    await staying.evaluate(`void navigator.locks.request(${JSON.stringify(log)}, () => new Promise((resolve) => {
      globalThis.letGo = resolve;
    }))`);
    store.start("c.frontend0");
    await store.ready("c.frontend0");
    await inContext("/samples/chat?name=Ada&room=another");
    await staying.evaluate("letGo()");
    const reader = await tab("/samples/chat?name=Cy&room=left", 1);
    await reader.locator("#messages li", { hasText: "left behind" }).waitFor();
    expect(await reader.locator("#messages li").count()).toBe(1);
    await Promise.all([context.close(), reader.close()]);
  });

  test("two tabs of one browser are two people, each of whom stays who he is when the page is loaded again", async () => {
    const context = await browser.newContext();
    const [one, other] = [await context.newPage(), await context.newPage()];
    for (const [page, name] of [
      [one, "Cleo"],
      [other, "Dan"],
    ] as const) {
      await page.goto(`${base}/samples/game?game=names`);
      await page.getByLabel("Your name").waitFor();
      await page.keyboard.type(name);
      await page.keyboard.press("Enter");
      await page.getByText(`You are ${name}`).waitFor();
    }
    await Promise.race([one, other].map((page) => page.getByText("It is your turn.").waitFor()));
    await one.reload();
    await one.getByText("You are Cleo").waitFor();
    await one.getByRole("button", { name: "Be somebody else" }).click();
    await one.getByLabel("Your name").waitFor();
    await context.close();
  });

  test("a message that cannot be kept is given back, with the reason", async () => {
    const ada = await tab("/samples/chat?name=Ada&room=full");
    await ada.getByText("Connected").waitFor();
    await ada.evaluate(`Storage.prototype.setItem = () => {
      throw new DOMException("no room", "QuotaExceededError");
    }`);
    await ada.getByLabel("Message as Ada").fill("much to say");
    await ada.keyboard.press("Enter");
    await ada.getByRole("alert").getByText('Not sent: "much to say".').waitFor();
    expect(await ada.getByLabel("Message as Ada").inputValue()).toBe("much to say");
    expect(await ada.locator("#messages li").count()).toBe(0);
    await ada.close();
  });

  test("with the keyboard alone: the focus stays where it is, and who reads what was said before is left there", async () => {
    const [ada, bob] = [
      await tab("/samples/game?name=Ada&game=keys"),
      await tab("/samples/game?name=Bob&game=keys"),
    ];
    const first = await Promise.race(
      [ada, bob].map((page) =>
        page
          .getByText("It is your turn.")
          .waitFor()
          .then(() => page),
      ),
    );
    const other = first === ada ? bob : ada;
    expect(await first.title()).toStartWith("Your turn");
    await first.getByRole("button", { name: "1", exact: true }).focus();
    await first.keyboard.press("7");
    await other.getByText("It is your turn.").waitFor();
    await other.getByRole("button", { name: "1", exact: true }).focus();
    await other.keyboard.press("0");
    await first.getByText("It is your turn.").waitFor();
    await first.keyboard.press("Enter");
    await other.locator("#score", { hasText: /^18$/ }).waitFor();
    // One goes, and the other one waits for somebody else.
    await other.getByRole("button", { name: "Leave the game" }).click();
    await other.getByRole("button", { name: "Take part" }).waitFor();
    await first.getByText("Waiting for a second player").waitFor();

    await ada.goto(`${base}/samples/chat?name=Ada&room=long`);
    await ada.getByText("Connected").waitFor();
    for (let line = 1; line <= 40; line++) {
      await ada.keyboard.type(`line ${line}`);
      await ada.keyboard.press("Enter");
    }
    await ada.locator("#messages li:not(.pending)", { hasText: "line 40" }).waitFor();
    const scrolled = "document.getElementById('messages').scrollTop";
    expect(await ada.evaluate(scrolled)).toBeGreaterThan(100);
    await ada.evaluate(`${scrolled} = 0`);
    await bob.goto(`${base}/samples/chat?name=Bob&room=long`);
    await bob.getByText("Connected").waitFor();
    await bob.keyboard.type("one more");
    await bob.keyboard.press("Enter");
    await ada.locator("#messages li", { hasText: "one more" }).waitFor();
    expect(await ada.evaluate(scrolled)).toBe(0);
    await Promise.all([ada.close(), bob.close()]);
  });

  test("a tab that slept while its frontend was started again shows what the others did, once it is awake", async () => {
    const [ada, bob] = [
      await tab("/samples/chat?name=Ada&room=sleep", 1),
      await tab("/samples/chat?name=Bob&room=sleep"),
    ];
    await bob.getByText("Connected").waitFor();
    const session = await bob.context().newCDPSession(bob);
    await session.send("Page.setWebLifecycleState", { state: "frozen" });
    await store.kill("c.frontend0");
    await ada.getByLabel("Message as Ada").fill("good morning");
    await ada.keyboard.press("Enter");
    await ada.locator("#messages li:not(.pending)", { hasText: "good morning" }).waitFor();
    store.start("c.frontend0");
    await store.ready("c.frontend0");
    await session.send("Page.setWebLifecycleState", { state: "active" });
    await bob.locator("#messages li", { hasText: "good morning" }).waitFor();
    await bob.getByText("Connected").waitFor();
    await Promise.all([ada.close(), bob.close()]);
    complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes("WebSocket")));
  });

  test("what is queued is on the page at once, and goes from it again when its code gives it up", async () => {
    const page = await tab("/samples");
    await page.evaluate(`(async () => {
      const { connect, long } = await import("/client.js");
      globalThis.client = await connect({ onError: () => {} });
      globalThis.balance = long("browser:balance");
      await client.execute((transaction) => balance.set(transaction, 10n));
      const output = document.querySelector("main").appendChild(document.createElement("output"));
      client.executeReactive(async (transaction, run) => {
        output.value = (await balance.value(transaction)) + (run.pending > 0 ? " (not sent yet)" : "");
      }, { optimistic: true });
      globalThis.spend = client.queued("spend", async (transaction, amount) => {
        const left = (await balance.value(transaction)) - BigInt(amount);
        // Only the store's own state says that it is not enough.
        if (left < 0n) transaction.abort("not enough");
        balance.set(transaction, left);
      });
    })()`);
    const output = page.locator("main output");
    await output.getByText("10", { exact: true }).waitFor();
    await store.kill("c.frontend0");
    await becomesTrue(page, "!client.isConnected");
    await page.evaluate(
      "spend(8).then(({ settled }) => void (globalThis.settled = settled.catch((error) => error.name)))",
    );
    await output.getByText("2 (not sent yet)", { exact: true }).waitFor();
    const body = JSON.stringify({
      operations: [{ op: "put", key: "browser:balance", value: { type: "bytes", text: "5" } }],
    });
    expect((await store.ask(1, "transactions", { method: "POST", body })).status).toBe(200);
    store.start("c.frontend0");
    await output.getByText("5", { exact: true }).waitFor();
    expect(await page.evaluate("settled")).toBe("AbortedError");
    await page.close();
    complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes("WebSocket")));
  });

  test("Retwis: who is followed is in the timeline, likes are counted once", async () => {
    const [ada, bob] = [await tab("/samples/retwis?name=Ada"), await tab("/samples/retwis?name=Bob", 1)];
    await bob.getByRole("button", { name: "Follow Ada" }).click();
    await bob.getByRole("button", { name: "Stop following Ada" }).waitFor();
    await ada.getByLabel("Post as Ada").fill("first post");
    await ada.keyboard.press("Enter");
    await bob.getByRole("button", { name: "Whom I follow" }).click();
    await bob.locator("#posts li", { hasText: "first post" }).waitFor();
    await bob.getByRole("button", { name: "Like: first post" }).click();
    await ada.locator("#posts li", { hasText: "1 like" }).waitFor();
    expect(await bob.getByRole("button", { name: "Liked: first post" }).isDisabled()).toBe(true);
    await Promise.all([ada.close(), bob.close()]);
  });

  test("Retwis shows the timeline that was asked for, whichever is read first, and says while it knows neither", async () => {
    const page = await browser.newPage();
    const held: (() => void)[] = [];
    let isHeld = true;
    await page.routeWebSocket(/\/v1\/connect$/, (here) => {
      const frontend = here.connectToServer();
      frontend.onMessage((message) => {
        if (isHeld) held.push(() => here.send(message));
        else here.send(message);
      });
    });
    await page.goto(`${base}/samples/retwis?name=Cyd`);
    await page.getByText("What was posted is being fetched").waitFor();
    expect(await page.getByText("Nobody has posted").count()).toBe(0);
    const wrong = `document.body.innerText.includes("first post")`;
    const watch = `new MutationObserver(() => (wasWrong ||= ${wrong})).observe(document.body, { childList: true, subtree: true })`;
    await page.evaluate(`globalThis.wasWrong = false; ${watch}`);
    // Everybody's posts take a question more than those of nobody.
    await page.getByRole("button", { name: "Whom I follow" }).click();
    isHeld = false;
    for (const pass of held) pass();
    await page.getByText("Nothing yet from those whom you follow").waitFor();
    // Behind all that was asked before.
    await page.getByRole("button", { name: "Follow Ada" }).click();
    await page.getByRole("button", { name: "Stop following Ada" }).waitFor();
    expect(await page.evaluate("wasWrong")).toBe(false);
    await page.getByRole("button", { name: "Everybody" }).click();
    await page.locator("#posts li", { hasText: "first post" }).waitFor();
    await page.close();
  });

  test("on a phone nothing is wider than the screen, in light and dark, and everything has a name", async () => {
    const page = await tab("/samples/retwis?name=Ada");
    await page.setViewportSize({ width: 360, height: 740 });
    for (const path of [
      "/samples",
      "/samples/game?name=Ada",
      "/samples/chat?name=Ada",
      "/samples/retwis?name=Ada",
    ]) {
      await page.goto(base + path);
      await page.getByRole("main").waitFor();
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
      }
      const background = await page.evaluate("getComputedStyle(document.body).backgroundColor");
      expect(background).toBe("rgb(17, 21, 27)");
      const nameless = `[...document.querySelectorAll("button, input, a")].filter((each) =>
        (each.getAttribute("aria-label") ?? (each.labels?.[0] ?? each).innerText).trim() === "").length`;
      expect(await page.evaluate(nameless)).toBe(0);
      expect(await accessibilityComplaints(page)).toEqual([]);
    }
    await page.close();
  });

  test("the browser has nothing to complain about", () => {
    expect(complaints).toEqual([]);
  });
});

const kinds = new Map([
  [9, "ack"],
  [10, "ping"],
  [72, "runs"],
  [73, "progress"],
  [74, "pong"],
]);

/** The first byte of a message is its type (client-wire/codec.ts). */
function kindOf(payload: string | Buffer): string {
  const type = typeof payload === "string" ? payload.charCodeAt(0) : (payload[0] ?? 0);
  return kinds.get(type) ?? `type ${type}`;
}
