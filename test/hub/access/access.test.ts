/** Who may look and who may act: logins, sessions, other people's pages, rebound names. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realRandom } from "../../../src/core/seams/random.ts";
import { realClock } from "../../../src/core/seams/clock.ts";
import { isCertainHost } from "../../../src/core/sockets/certain-host.ts";
import { Sessions } from "../../../src/hub/access/sessions.ts";
import { startEcho } from "../../core/kernel/harness.ts";
import { TestHub } from "../harness.ts";

const secrets = mkdtempSync(join(tmpdir(), "node-x-secrets-"));
afterAll(() => rmSync(secrets, { recursive: true, force: true }));
const passwordFile = TestHub.secret(secrets, "password", "correct horse");

const json = { "content-type": "application/json" };
const loginTo = (hub: TestHub, password: string) =>
  hub.fetch("/api/login", { method: "POST", headers: json, body: JSON.stringify({ password }) });

describe("a hub with a password", () => {
  test("tells nothing before the login, and everything after it", async () => {
    await using hub = await TestHub.start({ config: { passwordFile } });
    for (const path of [
      "/api/instances",
      "/api/events",
      "/api/history?from=0&to=1",
      "/api/happenings",
      "/api/logs",
      "/metrics",
      "/api/instances/x",
    ])
      expect([path, (await hub.fetch(path)).status]).toEqual([path, 401]);
    expect(await (await hub.fetch("/api/session")).json()).toEqual({ demandsLogin: true, isOpen: false });
    expect((await hub.fetch("/")).status).toBe(200); // the page itself, which asks for the password

    expect((await loginTo(hub, "wrong")).status).toBe(401);
    const answer = await loginTo(hub, "correct horse");
    const cookie = answer.headers.get("set-cookie") ?? "";
    expect(cookie).toContain("HttpOnly");
    expect(cookie).toContain("SameSite=Strict");
    const headers = { cookie: cookie.split(";")[0] ?? "" };
    expect((await hub.fetch("/api/instances", { headers })).status).toBe(200);

    await hub.fetch("/api/logout", { method: "POST", headers });
    expect((await hub.fetch("/api/instances", { headers })).status).toBe(401);
  });

  test("ends the streams of a session with it", async () => {
    await using hub = await TestHub.start({ config: { passwordFile } });
    const cookie =
      ((await loginTo(hub, "correct horse")).headers.get("set-cookie") ?? "").split(";")[0] ?? "";
    const headers = { cookie };
    const events = await hub.fetch("/api/events", { headers });
    const reader = (events.body as ReadableStream<Uint8Array>).getReader();
    expect((await reader.read()).done).toBe(false);
    await hub.fetch("/api/logout", { method: "POST", headers });
    for (let ticks = 0; ticks < 20 && !(await reader.read()).done; ticks++);
    expect((await reader.read()).done).toBe(true);
  });

  test("lets programs in by bearer token", async () => {
    await using hub = await TestHub.start({ config: { passwordFile } });
    const with_ = (token: string) => hub.fetch("/metrics", { headers: { authorization: `Bearer ${token}` } });
    expect((await with_("correct horse")).status).toBe(200);
    expect((await with_("wrong")).status).toBe(401);
  });

  test("slows down whoever guesses", async () => {
    await using hub = await TestHub.start({ config: { passwordFile } });
    const answers: number[] = [];
    for (let attempt = 0; attempt < 12; attempt++)
      answers.push((await loginTo(hub, `guess ${attempt}`)).status);
    expect(answers.slice(0, 10).every((status) => status === 401)).toBe(true);
    expect(answers.slice(10)).toEqual([429, 429]);
    expect((await loginTo(hub, "correct horse")).status).toBe(429);
  });

  test("is demanded beyond loopback, with TLS", async () => {
    await expect(TestHub.start({ config: { host: "0.0.0.0" } })).rejects.toThrow("passwordFile and tls");
    await expect(TestHub.start({ config: { host: "0.0.0.0", passwordFile } })).rejects.toThrow(
      "passwordFile and tls",
    );
  });

  test("ends sessions after their time, and keeps a bounded number of them", () => {
    let nowMs = 0;
    const sessions = new Sessions({ ...realClock, monotonicMs: () => nowMs }, realRandom, "p");
    const first = sessions.begin("p");
    expect(sessions.of(first)).toBeDefined();
    nowMs += 12 * 3600 * 1000 + 1;
    expect(sessions.of(first)).toBeUndefined();
    const tokens = Array.from({ length: 1001 }, () => sessions.begin("p"));
    expect(sessions.of(tokens[0])).toBeUndefined();
    expect(sessions.of(tokens[1])).toBeDefined();
  });
});

describe("a hub without a password", () => {
  test("answers only under names that cannot have been rebound", async () => {
    await using hub = await TestHub.start();
    const status = (host: string) =>
      new Promise<number>((resolve, reject) => {
        const asked = request({
          host: "127.0.0.1",
          port: hub.instance.ports.port,
          path: "/api/instances",
          headers: { host },
        });
        asked.on("response", (response) => resolve(response.resume().statusCode ?? 0)).on("error", reject);
        asked.end();
      });
    expect(await status("localhost:4000")).toBe(200);
    expect(await status("evil.example")).toBe(421);
  });

  test.each([
    ["127.0.0.1:4000", true],
    ["localhost", true],
    ["hub.localhost:1", true],
    ["[::1]:4000", true],
    ["this.host:4000", true],
    ["evil.example", false],
    ["127.0.0.1.evil.example", false],
    ["", false],
  ])("takes %p for certain: %p", (host, isCertain) => {
    expect(isCertainHost(host, "this.host")).toBe(isCertain);
  });
});

describe("an action", () => {
  async function acting(allowsActions: boolean) {
    const echo = await startEcho();
    const hub = await TestHub.start({ config: { allowsActions, instances: [echo.directory.dataDir] } });
    const { csrf } = (await (await hub.fetch("/api/session")).json()) as { csrf?: string };
    const act = (
      headers: Record<string, string>,
      body: unknown = { instance: echo.directory.dataDir },
      name = "drain",
    ) =>
      hub.fetch(`/api/actions/${name}`, {
        method: "POST",
        headers: { ...json, ...headers },
        body: JSON.stringify(body),
      });
    return { echo, hub, csrf: csrf ?? "", act };
  }

  test("is refused where the configuration allows none", async () => {
    const { echo, hub, csrf, act } = await acting(true);
    const instances = [echo.directory.dataDir];
    await hub.instance.reload(await hub.load({ instances, allowsActions: false }));
    expect(await (await hub.fetch("/api/session")).json()).toEqual({ demandsLogin: false, isOpen: true });
    expect((await act({ "x-node-x-csrf": csrf })).status).toBe(403);
    expect(echo.instance.state).toBe("ready");
    await hub[Symbol.asyncDispose]();
    await echo[Symbol.asyncDispose]();
  });

  test("needs the token of the hub's own page, and is noted", async () => {
    const { echo, hub, csrf, act } = await acting(true);
    expect((await act({})).status).toBe(403);
    expect((await act({ "x-node-x-csrf": "guess" })).status).toBe(403);
    expect((await act({ "x-node-x-csrf": csrf, "sec-fetch-site": "cross-site" })).status).toBe(403);
    expect((await act({ "x-node-x-csrf": csrf, "content-type": "text/plain" })).status).toBe(403);
    expect(echo.instance.state).toBe("ready");
    const answer = await act({ "x-node-x-csrf": csrf });
    expect(answer.status).toBe(200);
    expect(echo.instance.state).toBe("draining");
    const happenings = (await (await hub.fetch("/api/happenings")).json()) as {
      kind: string;
      text: string;
    }[];
    expect(happenings.map(({ text }) => text)).toContain("drain was asked for on the page");
    expect(hub.lines.join()).toContain("asked from the page: drain");

    expect((await act({ "x-node-x-csrf": csrf }, { instance: "nobody" })).status).toBe(409);
    const wrongRole = await act({ "x-node-x-csrf": csrf }, undefined, "promote");
    expect(await wrongRole.json()).toEqual({ error: expect.stringContaining("promote is for dht") });
    expect((await act({ "x-node-x-csrf": csrf }, {}, "drain")).status).toBe(400);
    expect((await act({ "x-node-x-csrf": csrf }, undefined, "toString")).status).toBe(409);
    await hub[Symbol.asyncDispose]();
    await echo[Symbol.asyncDispose]();
  });
});
