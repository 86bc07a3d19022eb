/** The hub with a password and TLS, and instances of other hosts behind TLS and a token. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { createAuthority, issueCertificate } from "../../src/core/certificates.ts";
import type { ClusterMember } from "../../src/core/role.ts";
import { startEcho, type TestInstance } from "../core/kernel/harness.ts";
import { TestHub } from "./harness.ts";

const secrets = mkdtempSync(join(tmpdir(), "node-x-secrets-"));
const file = (name: string) => join(secrets, name);
let passwordFile: string;
let adminTokenFile: string;
const tls = { cert: file("server.crt"), key: file("server.key") };

beforeAll(async () => {
  const authority = await createAuthority("ours", 10, Date.now());
  const pair = await issueCertificate(authority, {
    name: "server",
    hosts: ["127.0.0.1", "localhost"],
    days: 10,
    nowMs: Date.now(),
  });
  writeFileSync(file("ca.crt"), authority.certificate);
  writeFileSync(tls.cert, pair.certificate);
  writeFileSync(tls.key, pair.key, { mode: 0o600 });
  passwordFile = TestHub.secret(secrets, "password", "correct horse");
  adminTokenFile = TestHub.secret(secrets, "token", "battery staple");
});
afterAll(() => rmSync(secrets, { recursive: true, force: true }));

describe("an instance of another host", () => {
  let echo: TestInstance;
  const elsewhere = (): ClusterMember => ({
    name: "p.echo0",
    role: "echo",
    host: "b",
    isHere: false,
    dataDir: "/elsewhere",
    address: "127.0.0.1",
    ports: {},
    admin: { host: "127.0.0.1", port: echo.instance.ports.adminPort as number },
  });
  const shownBy = async (config: Record<string, unknown>) => {
    await using hub = await TestHub.start({
      config,
      clusterMembers: async () => ({ prefix: "p", members: [elsewhere()], problems: [] }),
    });
    const [shown] = (await (await hub.fetch("/api/instances")).json()) as {
      condition: string;
      reasons: string[];
    }[];
    const metrics = await (await hub.fetch("/metrics")).text();
    return { ...shown, up: /^node_x_up\{.*\} (\d)$/m.exec(metrics)?.[1] };
  };

  beforeAll(async () => {
    echo = await startEcho({ config: { adminPort: 0, adminTokenFile, tls } });
  });
  afterAll(async () => echo[Symbol.asyncDispose]());

  test("is asked over TLS with the token", async () => {
    const found = await shownBy({ scrapeTokenFile: adminTokenFile, scrapeCa: file("ca.crt") });
    expect(found).toMatchObject({ condition: "ready", up: "1" });
  });

  test("is not believed under a certificate of nobody's", async () => {
    const found = await shownBy({ scrapeTokenFile: adminTokenFile });
    expect(found).toMatchObject({ condition: "unreachable", up: "0" });
    expect(found.reasons?.join()).toMatch(/certificate|self.signed|verify/i);
  });

  test("says that the token is wrong", async () => {
    const wrong = TestHub.secret(secrets, "wrong", "guess");
    const found = await shownBy({ scrapeTokenFile: wrong, scrapeCa: file("ca.crt") });
    expect(found.reasons?.join()).toContain("answers 401");
  });
});

describe.skipIf(Bun.which("chromium") === null)("a hub beyond loopback", () => {
  test("asks for the password over TLS, shows the page after it, and nothing after the logout", async () => {
    await using hub = await TestHub.start({ config: { host: "0.0.0.0", passwordFile, tls } });
    const args = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
    const browser = await chromium.launch({ executablePath: Bun.which("chromium") as string, args });
    try {
      const page = await browser.newPage({ ignoreHTTPSErrors: true });
      page.setDefaultTimeout(60_000);
      await page.goto(`https://127.0.0.1:${hub.instance.ports.port}/`);
      const password = page.getByLabel("Password");
      await password.fill("guess");
      await page.getByRole("button", { name: "Log in" }).click();
      await page.getByRole("alert").getByText("this is not the password").waitFor();
      await password.fill("correct horse");
      await password.press("Enter");
      await page.getByRole("heading", { name: "Overview" }).waitFor();
      const [cookie] = await page.context().cookies();
      expect(cookie).toMatchObject({ httpOnly: true, secure: true, sameSite: "Strict" });
      await page.setViewportSize({ width: 360, height: 740 });
      await page.getByRole("button", { name: "Log out" }).click();
      await password.waitFor();
      expect(await page.getByRole("table").count()).toBe(0);
    } finally {
      await browser.close();
    }
  }, 60_000);
});
