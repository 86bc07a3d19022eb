/** What the queue node says of itself, against the layouts that operators' graphs and eyes know. */
import { expect, test } from "bun:test";
import { QueueNode } from "../../../src/channels/client.ts";
import { consoleLine, type NodeFigures, StatsLine } from "../../../src/channels/queue/figures.ts";
import type { QueueChannel } from "../../../src/native/queues.ts";
import { queue } from "../../../src/channels/queue/role.ts";
import { RawClient } from "../wire/resp/raw.ts";
import { startQueue, TestServer, world } from "./server.ts";

const figures = {
  bytesSent: 48_211,
  bytesReceived: 90_112,
  requests: 812,
  connections: 14,
  neoConnections: 5,
  connectionsMax: 5000,
  records: 3,
  entries: 1,
  usedBytes: 2 ** 20 + 96,
  memoryBytes: 12.5 * 2 ** 20,
  pushed: 10,
  pushedBytes: 400,
  popped: 6,
  poppedBytes: 240,
} as NodeFigures;

const jobs = {
  name: "jobs",
  records: 2,
  recordsMax: 5,
  usedBytes: 120,
  usedBytesMax: 500,
  capacityBytes: 1000,
  overflowRecords: 0,
  overflowBytes: 0,
  ringBytes: 1000,
} as QueueChannel;

test("the line of stats.log has the originals' names in their order, and a channel's largest figures of the period", () => {
  expect(new StatsLine().next(figures, [jobs])).toBe(
    "bytes_sent:48211 bytes_received:90112 handling_connections:14 handling_connections_pcnt:0.28 " +
      "handling_neo_connections:5 handling_neo_connections_pcnt:0.1 records_handled:812 " +
      "total_bytes:1048672 total_records:4 jobs_bytes:500 jobs_records:5 " +
      "channel/jobs/bytes:500 channel/jobs/records:5 channel/jobs/bytes_memory:120 channel/jobs/bytes_overflow:0 " +
      "channel/jobs/records_memory:2 channel/jobs/records_overflow:0 channel/jobs/percent_memory:12 " +
      "action/pushed/records:10 action/pushed/bytes:400 action/popped/records:6 action/popped/bytes:240",
  );
});

test("of very many channels the largest are named, in their order; the totals are of all", () => {
  const channels = Array.from({ length: 100_000 }, (_, index) => ({
    ...jobs,
    name: `c${index}`,
    usedBytesMax: index < 10 ? 1 : index,
  }));
  const names = new StatsLine().next(figures, channels).match(/(?<= )c\d+(?=_records:)/g) ?? [];
  expect([names.length, names[0], names.at(-1)]).toEqual([1000, "c99000", "c99999"]);
});

test("counters are those of the period, gauges are current", () => {
  const line = new StatsLine();
  line.next(figures, []);
  expect(line.next({ ...figures, bytesSent: 48_212, connections: 3, pushed: 12 }, [])).toBe(
    "bytes_sent:1 bytes_received:0 handling_connections:3 handling_connections_pcnt:0.06 " +
      "handling_neo_connections:5 handling_neo_connections_pcnt:0.1 records_handled:0 " +
      "total_bytes:1048672 total_records:4 action/pushed/records:2 action/pushed/bytes:0 action/popped/records:0 action/popped/bytes:0",
  );
});

test("the console line has the originals' layout, and behind it how full channels are, the fullest first", () => {
  const clicks = { ...jobs, name: "clicks", usedBytes: 301 };
  expect(consoleLine(figures, [jobs, clicks], 812.4)).toBe(
    "  Ring queue (Used 12.50Mb): 14 conns, 812.40 rec/s, 4 recs (1Mb 96b) [clicks 30%, jobs 12%]",
  );
  expect(consoleLine(figures, [], 0)).toBe(
    "  Ring queue (Used 12.50Mb): 14 conns, 0.00 rec/s, 4 recs (1Mb 96b)",
  );
});

test("a running node's lines tell of its requests and channels", async () => {
  await using server = await startQueue({ channels: { ringBytes: 4096 } });
  const node = await QueueNode.connect(world.net, { host: "127.0.0.1", port: server.port });
  for (let record = 0; record < 4; record++) await node.push("jobs", "x".repeat(504));
  await node.pop("jobs");
  const pairs = Object.fromEntries(
    server.instance
      .statsLine()
      .split(" ")
      .map((pair) => pair.split(":")),
  );
  expect(pairs).toMatchObject({
    handling_connections: "1",
    total_records: "3",
    jobs_records: "4",
    "channel/jobs/bytes": "2048",
    "channel/jobs/percent_memory": "37.5",
    "request/Push/handled": "4",
    "request/Pop/handled": "1",
    "action/pushed/records": "4",
    "action/pushed/bytes": "2016",
    "action/popped/records": "1",
    "action/popped/bytes": "504",
    old_request_versions_in_use: "0",
  });
  expect(Object.keys(pairs)).not.toContain("action/written/records");
  expect(server.instance.consoleLine()).toMatch(
    /^ {2}Ring queue \(Used \d+\.\d\dMb\): 1 conns, \d+\.\d\d rec\/s, 3 recs \(1Kb 512b\) \[jobs 38%\]$/,
  );
  node.close();
});

test("what was pushed and popped is counted on, whatever becomes of the channels; what was loaded is not pushed", async () => {
  const server = await startQueue({ durability: "save" });
  const redis = await RawClient.connect(server.respPort);
  const counts = () => {
    const words = server.instance.statsLine().split(" ");
    return words.filter((word) => word.startsWith("action/")).map((word) => word.replace("action/", ""));
  };
  const run = async (...words: string[]) => void (await redis.command(...words));
  await run("RPUSH", "list", "one", "three");
  await run("XADD", "stream", "1-1", "field", "value");
  expect(counts()).toEqual(["pushed/records:3", "pushed/bytes:50", "popped/records:0", "popped/bytes:0"]);
  await run("LPOP", "list", "2"); // the channel is gone with its last record
  await run("XDEL", "stream", "1-1");
  await run("RPUSH", "kept", "loaded later");
  expect(counts()).toEqual(["pushed/records:1", "pushed/bytes:12", "popped/records:3", "popped/bytes:50"]);
  await run("DEL", "kept");
  expect(counts()).toEqual(["pushed/records:0", "pushed/bytes:0", "popped/records:0", "popped/bytes:0"]);
  await run("RPUSH", "kept", "loaded later");
  await server.stop();
  await using again = await TestServer.start({ durability: "save" }, server.directory, queue);
  expect(again.instance.statsLine()).toContain("total_records:1 ");
  expect(again.instance.statsLine()).toContain("action/pushed/records:0 ");
});
