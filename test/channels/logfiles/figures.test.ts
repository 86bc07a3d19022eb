/** What the logfiles node says of itself, against the layouts that operators' graphs and eyes know. */
import { expect, test } from "bun:test";
import { NeoLogfilesNode } from "../../../src/channels/client.ts";
import { SECRET, TestServer, world } from "./server.ts";

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
  expect(Object.keys(first).slice(0, 9)).toEqual([
    "bytes_sent",
    "bytes_received",
    "handling_connections",
    "handling_connections_pcnt",
    "handling_neo_connections",
    "handling_neo_connections_pcnt",
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
  const address = { host: "127.0.0.1", port: server.instance.ports["neoPort"] as number };
  const neo = await NeoLogfilesNode.connect(world.net, world.clock, address, {
    name: "admin",
    secret: SECRET,
  });
  for await (const _ of neo.records("web", { low: 0n, high: 10n }));
  await neo.put("web", 7n, "POST / 201"); // behind the acknowledgement of the range's end
  expect(pairsOf(server)).toMatchObject({
    handling_connections: "2",
    records_handled: "1",
    total_records: "3",
    "request/Put/handled": "0",
    "neo_request/Put/handled": "1",
    "neo_request/GetRange/handled": "1",
    "neo_request/GetRange/max_active": "1",
    handling_neo_connections: "1",
    "action/handled/records": "1",
    "action/handled/bytes": "10",
  });
  neo.close();
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
