/** What `check` says of a queue or a worker on JetStream, before anything starts and without asking a server. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ConfigDirectory } from "../config/helpers.ts";

let directory: ConfigDirectory;
beforeAll(() => {
  directory = new ConfigDirectory();
});
afterAll(() => directory.remove());

const ofQueue = (jetstream: object, beside: object = {}) =>
  directory.problems(JSON.stringify({ engine: { jetstream }, ...beside }), { file: "p.queue0.json" });
const ofWorker = (config: object) => directory.problems(JSON.stringify(config), { file: "p.worker0.json" });

test("a stream on this host is enough", async () => {
  expect(await ofQueue({})).toEqual([]);
  expect(
    await ofWorker({
      sources: ["Lines=nats:in?subject=a.>&pending=10"],
      sinks: ["counts=nats:out?create=3"],
    }),
  ).toEqual([]);
});

test.each([
  ["a password in an address", { servers: ["user:secret@h:4222"] }, "servers[0]: wanted HOST:PORT"],
  ["a server twice", { servers: ["h:4222", "h:4222"] }, "servers: wanted each server once"],
  [
    "two ways to get in",
    { userFile: "u", tokenFile: "t" },
    "wanted one of credentialsFile, userFile and tokenFile",
  ],
  [
    "a password in the clear beyond this host",
    { servers: ["10.0.0.1:4222"], userFile: "u" },
    "servers: wanted servers of this host, or tls",
  ],
  ["a certificate without its key", { tls: { cert: "c" } }, "tls.key: wanted cert and key, or neither"],
  ["an even number of replicas", { replicas: 2 }, "replicas: wanted an odd number"],
  ["a stream's name with a dot", { stream: "a.b" }, "stream: wanted 1 to 64 letters"],
  ["a key with a mistake", { streams: "x" }, 'engine.jetstream.streams: wanted a known key, got "streams"'],
])("%s is refused", async (_what, jetstream, wanted) => {
  expect((await ofQueue(jetstream)).join("\n")).toContain(wanted);
});

test("a durability that JetStream does not have is refused beside it", async () => {
  expect((await ofQueue({}, { durability: "memory" })).join()).toContain(
    'durability: wanted "log" beside engine.jetstream',
  );
});

test.each([
  ["an option that a source does not have", ["Lines=nats:in?inFlight=3"]],
  ["a number that is none", ["Lines=nats:in?pending=many"]],
  ["a stream's name with a dot", ["Lines=nats:a.b"]],
  ["a consumer that two sources share", ["A=nats:in?consumer=c", "B=nats:in?consumer=c"]],
])("%s is refused in a worker's sources", async (_what, sources) => {
  expect((await ofWorker({ sources })).join()).toContain("sources: wanted");
});
