/** What the logfiles node says of itself, against the layouts that operators' graphs and eyes know. */
import { expect, test } from "bun:test";
import { TestServer } from "./server.ts";

const pairsOf = (server: TestServer) =>
  Object.fromEntries(
    server.instance
      .statsLine()
      .split(" ")
      .map((pair) => pair.split(":")),
  );

test("stats.log has the originals' names: of the period what was done, of the moment what there is", async () => {
  await using server = await TestServer.start();
  const client = await server.client();
  await client.put("web", 5n, "GET / 200");
  await client.put("web", 6n, "GET /missing 404");
  for await (const _ of client.records("web", { low: 0n, high: 10n }));
  const first = pairsOf(server);
  expect(Object.keys(first).slice(0, 7)).toEqual([
    "bytes_sent",
    "bytes_received",
    "handling_connections",
    "handling_connections_pcnt",
    "records_handled",
    "total_bytes",
    "total_records",
  ]);
  expect(first).toMatchObject({
    handling_connections: "1",
    records_handled: "2",
    total_bytes: "25",
    total_records: "2",
    web_bytes: "25",
    web_records: "2",
    "channel/web/bytes": "25",
    "channel/web/records": "2",
    "request/Put/handled": "2",
    "request/GetRange/handled": "1",
  });
  await server.neo();
  expect(pairsOf(server)).toMatchObject({
    handling_connections: "2",
    records_handled: "0",
    total_records: "2",
    "request/Put/handled": "0",
  });
});

test("the console line has the originals' layout", async () => {
  await using server = await TestServer.start({
    hashRange: { min: "0000000000000000", max: "7fffffffffffffff" },
  });
  const client = await server.client();
  await client.put("web", 5n, "x".repeat(1034));
  expect(server.instance.consoleLine()).toMatch(
    /^ {2}LogFiles dht 0x0{16}\.\.0x7F{15} \(Used \d+\.\d\dMb\/Free no limit\): 1 conns, \d+\.\d\d rec\/s, 1 recs \(1Kb 10b\)$/,
  );
});
