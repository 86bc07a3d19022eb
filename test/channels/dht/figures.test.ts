/** What the node says of itself, against the layouts that operators' graphs and eyes know. */
import { expect, test } from "bun:test";
import { binaryGroups, consoleLine, StatsLine, type DhtFigures } from "../../../src/channels/dht/figures.ts";

const figures: DhtFigures = {
  bytesSent: 48_211,
  bytesReceived: 90_112,
  recordsHandled: 812,
  connections: 14,
  connectionsMax: 5000,
  records: 4,
  bytes: 1_641_862,
  channels: [{ name: "users", bytes: 590_935, records: 1 }],
};

test("the line of stats.log has the originals' names in their order", () => {
  expect(new StatsLine().next(figures)).toBe(
    "bytes_sent:48211 bytes_received:90112 handling_connections:14 handling_connections_pcnt:0.28 records_handled:812 " +
      "total_bytes:1641862 total_records:4 users_bytes:590935 users_records:1",
  );
});

test("counters are those of the period, gauges are current", () => {
  const line = new StatsLine();
  line.next(figures);
  expect(line.next({ ...figures, bytesSent: 48_212, recordsHandled: 815, connections: 3 })).toStartWith(
    "bytes_sent:1 bytes_received:0 handling_connections:3 handling_connections_pcnt:0.06 records_handled:3 total_bytes:1641862 ",
  );
});

test("the console line has the originals' layout", () => {
  const line = consoleLine({
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
