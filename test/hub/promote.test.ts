/** Promoting a mirror from the hub: behind its switch, with the page's token, and only what is a mirror. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { keyText } from "../../src/channels/client.ts";
import { becomesTrue } from "../e2e/page-checks.ts";
import { SECRET, TestServer } from "../channels/wire/legacy/server.ts";
import { TestHub } from "./harness.ts";

let directory = "";
const files = () => ({ node: join(directory, "node"), mirror: join(directory, "mirror") });

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "node-x-promote-"));
  const secret = Buffer.from(SECRET).toString("hex");
  writeFileSync(files().node, `admin:${secret}\nmirror:${secret}\n`, { mode: 0o600 });
  writeFileSync(files().mirror, `mirror:${secret}\n`, { mode: 0o600 });
});
afterAll(() => rmSync(directory, { recursive: true }));

async function startPair() {
  const node = await TestServer.start({
    ...{ durability: "log", neo: { credentialsFile: files().node }, mirror: { port: 0 } },
  });
  const of = `127.0.0.1:${node.instance.ports["mirror.port"]}`;
  const mirror = await TestServer.start({
    ...{ durability: "log", mirror: { of, credentialsFile: files().mirror } },
  });
  return { node, mirror };
}
const dataOf = (server: TestServer) => join(server.directory, "data");

test("a mirror is promoted from the page and takes writes; its node is not, and nothing is without the switch", async () => {
  const { node, mirror: follower } = await startPair();
  await using mirror = follower;
  await (await node.node()).put("ch", keyText(1n), "theirs");
  while (mirror.instance.reasons().length > 0) await Bun.sleep(5);
  const [nodeData, mirrorData] = [node, mirror].map(dataOf);
  const instances = [nodeData as string, mirrorData as string];
  await using hub = await TestHub.start({ config: { instances } });
  const promote = async (instance: string | undefined) => {
    const { csrf = "" } = (await (await hub.fetch("/api/session")).json()) as { csrf?: string };
    const answer = await hub.fetch("/api/actions/promote", {
      method: "POST",
      headers: { "content-type": "application/json", "x-node-x-csrf": csrf },
      body: JSON.stringify({ instance }),
    });
    return { status: answer.status, said: JSON.stringify(await answer.json()) };
  };
  expect((await promote(mirrorData)).status).toBe(403);
  await expect((await mirror.node()).put("ch", keyText(2n), "mine")).rejects.toMatchObject({ status: 407 });

  await hub.instance.reload(await hub.load({ instances, allowsActions: true }));
  expect((await promote(nodeData)).said).toContain("this node mirrors nobody");
  await node.stop();
  expect(await promote(mirrorData)).toEqual({ status: 200, said: expect.stringContaining("has done it") });
  const client = await mirror.node();
  await client.put("ch", keyText(2n), "mine");
  expect((await client.get("ch", keyText(1n)))?.toString()).toBe("theirs");
  const { happenings } = { happenings: await (await hub.fetch("/api/happenings")).text() };
  expect(happenings).toContain("promote was asked for on the page");
});

test.skipIf(Bun.which("chromium") === null)(
  "the page offers it for a mirror only, asks before, and shows whose hashes are whose",
  async () => {
    const { node, mirror: follower } = await startPair();
    await using mirror = follower;
    const instances = [node, mirror].map(dataOf);
    await using hub = await TestHub.start({ config: { instances, allowsActions: true } });
    const browser = await chromium.launch({ executablePath: Bun.which("chromium") as string, args: ["--no-sandbox"] });
    try {
      const page = await browser.newPage();
      page.setDefaultTimeout(60_000);
      const go = (place: string) => page.goto(`${hub.base}/#/${place}`);
      const button = page.getByRole("button", { name: "Promote…" });
      await go("channels");
      const ring = page.getByRole("img", { name: "Hash space over 1 nodes: every hash has one node" });
      await ring.waitFor();
      await go(`instance/${encodeURIComponent(instances[0] as string)}`);
      // What it says of itself has arrived: now there would be a button.
      await becomesTrue(page, "document.querySelector('details pre')?.textContent.includes('hashRange')");
      expect(await button.count()).toBe(0);
      await go(`instance/${encodeURIComponent(instances[1] as string)}`);
      await button.waitFor();
      await node.stop();
      await button.click();
      const dialog = page.getByRole("dialog", { name: "Promote" });
      await dialog.getByRole("button", { name: "Promote", exact: true }).click();
      await dialog.getByText(/promote: .* has done it/).waitFor();
      await (await mirror.node()).put("ch", keyText(1n), "mine");
      await go("channels");
      await ring.waitFor();
    } finally {
      await browser.close();
    }
  },
  180_000,
); // prettier-ignore
