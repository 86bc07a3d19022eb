/** What the node says of itself, against the layouts that operators' graphs and eyes know. */
import { expect, test } from "bun:test";
import { binaryGroups, consoleLine, StatsLine, type DhtFigures } from "../../../src/channels/dht/figures.ts";
import { TestServer } from "../wire/legacy/server.ts";

const figures: DhtFigures = {
  bytesSent: 48_211,
  bytesReceived: 90_112,
  recordsHandled: 812,
  connections: 14,
  neoConnections: 5,
  connectionsMax: 5000,
  records: 4,
  bytes: 1_641_862,
  channels: [{ name: "users", bytes: 590_935, records: 1 }],
};

test("the line of stats.log has the originals' names in their order", () => {
  expect(new StatsLine().next(figures)).toBe(
    "bytes_sent:48211 bytes_received:90112 handling_connections:14 handling_connections_pcnt:0.28 " +
      "handling_neo_connections:5 handling_neo_connections_pcnt:0.1 records_handled:812 " +
      "total_bytes:1641862 total_records:4 users_bytes:590935 users_records:1 " +
      "channel/users/bytes:590935 channel/users/records:1",
  );
});

test("counters are those of the period, gauges are current", () => {
  const line = new StatsLine();
  line.next(figures);
  expect(line.next({ ...figures, bytesSent: 48_212, recordsHandled: 815, connections: 3 })).toStartWith(
    "bytes_sent:1 bytes_received:0 handling_connections:3 handling_connections_pcnt:0.06 handling_neo_connections:5 handling_neo_connections_pcnt:0.1 records_handled:3 total_bytes:1641862 ",
  );
});

test("the console line has the originals' layout", () => {
  const line = consoleLine({
    storage: "Memory",
    hashRange: { min: "0000000000000000", max: "ffffffffffffffff" },
    memoryBytes: 12.5 * 2 ** 20,
    memoryBytesMax: 15.75 * 2 ** 20,
    connections: 14,
    recordsPerSecond: 812.4,
    records: 99_357,
    bytes: 14 * 2 ** 20 + 231 * 2 ** 10 + 96,
    suffix: " (42m7s until channel dump)",
  });
  expect(line).toBe(
    "  Memory dht 0x0000000000000000..0xFFFFFFFFFFFFFFFF (Used 12.50Mb/Free 3.25Mb): " +
      "14 conns, 812.40 rec/s, 99,357 recs (14Mb 231Kb 96b) (42m7s until channel dump)",
  );
});

test.each([
  [0, "0b"],
  [1023, "1023b"],
  [1024, "1Kb"],
  [2 ** 30 + 23 * 2 ** 20 + 456 * 2 ** 10 + 12, "1Gb 23Mb 456Kb 12b"],
])("%i bytes are %p", (bytes, text) => {
  expect(binaryGroups(bytes)).toBe(text);
});

test("stats.log tells of each request and action, for its period", async () => {
  await using server = await TestServer.start();
  const node = await server.node();
  const pairsOf = () =>
    Object.fromEntries(
      server.instance
        .statsLine()
        .split(" ")
        .map((pair) => pair.split(":")),
    );
  await node.put("ch", "0000000000000001", "four");
  await node.put("ch", "0000000000000002", "sixsix");
  await node.get("ch", "0000000000000001");
  for await (const _ of node.getAll("ch"));
  await node.remove("ch", "0000000000000001");
  const first = pairsOf();
  expect(first).toMatchObject({
    "request/Put/handled": "2",
    "request/Put/max_active": "1",
    "request/Get/handled": "1",
    "request/GetAll/handled": "1",
    "action/written/records": "2",
    "action/written/bytes": "10",
    "action/read/records": "1",
    "action/read/bytes": "4",
    "action/iterated/records": "2",
    "action/iterated/bytes": "10",
    "action/deleted/records": "1",
    "action/deleted/bytes": "4",
  });
  const classes = ["10_micros", "100_micros", "1_ms", "10_ms", "100_ms", "over_100_ms"];
  const sum = (pairs: Record<string, string>, name: string) =>
    classes.reduce((total, each) => total + Number(pairs[`request/${name}/handled_${each}`]), 0);
  expect(sum(first, "Put")).toBe(2);
  const next = pairsOf();
  expect([
    next["request/Put/handled"],
    next["request/Put/mean_handled_time_micros"],
    sum(next, "Put"),
  ]).toEqual(["0", "0", 0]);
  expect(next["action/written/records"]).toBe("0");
  expect(next["request/Exists/handled"]).toBeUndefined();
});

test("a listener is an active request, also in the periods after its own", async () => {
  await using server = await TestServer.start({ swarm: { writeFlushMs: 1 } });
  const [listener, writer] = [await server.node(), await server.node()];
  const next = listener.listen("ch").next();
  while (!(await writer.getChannels()).includes("ch"));
  server.instance.statsLine();
  await writer.put("ch", "0000000000000001", "heard");
  await next;
  const line = server.instance.statsLine();
  expect(line).toContain("request/Listen/max_active:1 request/Listen/handled:0");
  expect(line).toContain("action/forwarded/records:1 action/forwarded/bytes:5");
});
