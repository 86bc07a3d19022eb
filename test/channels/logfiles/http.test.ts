/** HTTP of the logfiles node: writing, searching, following, and what it refuses. */
import { expect, test } from "bun:test";
import { TestServer } from "./server.ts";

const post = (server: TestServer, channel: string, body: string) =>
  fetch(`${server.url}/channels/${channel}/records`, { method: "POST", body });
const lines = (...records: object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join("");
const parsed = async (response: Response) =>
  (await response.text())
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

test("writes lines and finds them by time, text and expression", async () => {
  await using server = await TestServer.start();
  const response = await post(
    server,
    "web",
    lines(
      { time: 100, value: "GET / 200" },
      { time: "1970-01-01T00:03:20Z", value: "GET /missing 404" },
      { time: 300, base64: Buffer.of(0xff, 0x00).toString("base64") },
    ),
  );
  expect(await response.json()).toEqual({ accepted: 3 });
  const find = async (query: string) => parsed(await fetch(`${server.url}/channels/web/records?${query}`));
  expect(await find("")).toEqual([
    { time: 100, value: "GET / 200" },
    { time: 200, value: "GET /missing 404" },
    { time: 300, base64: "/wA=" },
  ]);
  expect(await find("from=150&to=250")).toEqual([{ time: 200, value: "GET /missing 404" }]);
  expect(await find("contains=404")).toEqual([{ time: 200, value: "GET /missing 404" }]);
  expect(await find(`regex=${encodeURIComponent("GET /\\w+ 4")}`)).toEqual([
    { time: 200, value: "GET /missing 404" },
  ]);
  expect(await find("regex=get&ignoreCase=true&limit=1")).toEqual([{ time: 100, value: "GET / 200" }]);
  expect(await (await fetch(`${server.url}/channels`)).json()).toEqual([
    { name: "web", records: 3, valueBytes: 27 },
  ]);
  expect((await fetch(`${server.url}/channels/web`, { method: "DELETE" })).status).toBe(204);
  expect((await fetch(`${server.url}/channels/web`)).status).toBe(404);
});

test("a record without a time gets the present second", async () => {
  await using server = await TestServer.start();
  const before = Math.floor(Date.now() / 1000);
  await post(server, "web", lines({ value: "now" }));
  const [record] = await parsed(await fetch(`${server.url}/channels/web/records`));
  expect(record?.["time"]).toBeGreaterThanOrEqual(before);
});

test("names the line that is none, and keeps those before it", async () => {
  await using server = await TestServer.start();
  for (const [bad, reason] of [
    ["{", "not JSON"],
    ['{"time":1}', "either value or base64"],
    ['{"time":-1,"value":"x"}', "time: wanted"],
    ['{"time":1,"value":""}', "an empty value"],
    ['{"time":1,"value":"x","level":"info"}', '"level" is no field'],
    ['{"time":1,"base64":"*"}', "base64"],
    [JSON.stringify({ time: 1, value: "x".repeat(65_537) }), "at most 65536 bytes"],
  ] as const) {
    const response = await post(server, "bad", `{"time":7,"value":"kept"}\n${bad}\n`);
    const answer = (await response.json()) as { accepted: number; error: string };
    expect({ status: response.status, accepted: answer.accepted }).toEqual({ status: 400, accepted: 1 });
    expect(answer.error).toStartWith("line 2: ");
    expect(answer.error).toContain(reason);
  }
  expect((await parsed(await fetch(`${server.url}/channels/bad/records`))).length).toBe(7);
});

test("refuses questions that it cannot answer", async () => {
  await using server = await TestServer.start();
  await post(server, "web", lines({ time: 1, value: "x" }));
  for (const [query, reason] of [
    ["regex=(", "the expression cannot be used"],
    ["from=yesterday", "from: UNIX seconds"],
    ["contains=a&regex=b", "contains or regex"],
    ["ignoreCase=true", "only together with regex"],
    ["limit=0", "limit: wanted a number from 1 on"],
    ["contains=", "contains: wanted a text"],
    ["ignoreCase=1&regex=x", "ignoreCase: wanted true or false"],
    ["form=1", '"form" is no parameter; parameters are from, to, contains'],
  ] as const) {
    const response = await fetch(`${server.url}/channels/web/records?${query}`);
    expect(response.status).toBe(400);
    expect(((await response.json()) as { error: string }).error).toContain(reason);
  }
  expect((await fetch(`${server.url}/channels/none/records`)).status).toBe(404);
  expect((await post(server, "no%20name", "{}")).status).toBe(400);
});

test("an expression that explodes ends its own request only", async () => {
  await using server = await TestServer.start();
  await post(server, "web", lines({ time: 1, value: `${"a".repeat(40)}b` }, { time: 2, value: "fine" }));
  const hard = await fetch(`${server.url}/channels/web/records?regex=${encodeURIComponent("^(a+)+$")}`);
  expect(hard.status).toBe(400);
  expect(((await hard.json()) as { error: string }).error).toContain("too many steps");
  expect((await parsed(await fetch(`${server.url}/channels/web/records?contains=fine`))).length).toBe(1);
});

/** The next complete line of a stream. */
async function* linesOf(response: Response): AsyncGenerator<Record<string, unknown>> {
  let text = "";
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString();
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      if (end > 0) yield JSON.parse(text.slice(0, end)) as Record<string, unknown>;
      text = text.slice(end + 1);
    }
  }
}

test("a follower sees what is written from now on, filtered, also while records move into files", async () => {
  await using server = await TestServer.start({ memory: { memtableBytes: 65_536 } });
  await post(server, "web", lines({ time: 1, value: "before" }));
  const abort = new AbortController();
  const response = await fetch(`${server.url}/channels/web/follow?contains=wanted`, { signal: abort.signal });
  const seen = linesOf(response);
  const filler = "x".repeat(1000);
  for (let round = 0; round < 20; round++) {
    const batch = Array.from({ length: 50 }, (_, index) => ({ time: round, value: `${filler}${index}` }));
    await post(server, "web", lines(...batch, { time: round, value: `wanted ${round}` }));
    expect((await seen.next()).value).toEqual({ time: round, value: `wanted ${round}` });
  }
  abort.abort();
});

test("a stop ends searches and followers", async () => {
  const server = await TestServer.start();
  await post(server, "web", lines({ time: 1, value: "x" }));
  const following = await fetch(`${server.url}/channels/web/follow`);
  const ended = following.text().catch(() => "cut off");
  await server[Symbol.asyncDispose]();
  expect(await ended).toBeOneOf(["\n", "cut off"]);
});
