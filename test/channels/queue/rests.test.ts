/** How long a queue node rests under load, as it tells the network. */
import { expect, spyOn, test } from "bun:test";
import { restPaces } from "../../../src/core/seams/turn-rest.ts";
import { startQueue, world } from "./server.ts";

test("a queue's Redis listener rests at the long pace, and no other one does", async () => {
  using listen = spyOn(world.net, "listen");
  await using server = await startQueue();
  const paces = listen.mock.calls.map(([{ restPace }]) => restPace);
  expect(paces).toHaveLength(3);
  expect(paces.filter((pace) => pace !== undefined)).toEqual([restPaces.long]);
  const port = server.instance.ports["respPort"];
  const results = await Promise.all(
    listen.mock.results.map(({ value }) => value as Promise<{ port: number }>),
  );
  expect(results.findIndex((listener) => listener.port === port)).toBe(paces.indexOf(restPaces.long));
});
