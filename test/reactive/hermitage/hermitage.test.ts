/** S5: the Hermitage matrix through the public client: every interleaving, level, engine, placement of keys and of clients. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  type Client,
  type ClientOptions,
  connect,
  type Isolation,
  long,
} from "../../../src/reactive/client.ts";
import { shardOf } from "../../../src/reactive/engines/builtin/placement.ts";
import { EtcdProcesses } from "../../e2e/etcd-processes.ts";
import { StoreProcesses } from "../../e2e/store-processes.ts";
import { withoutReads } from "../faulty-clients.ts";
import { interleavings, type Interleaving, type Keys } from "./interleavings.ts";
import { Typed } from "./typed.ts";

setDefaultTimeout(60_000);

const SHARDS = 2;
const levels: Isolation[] = ["strict", "snapshot", "readCommitted"];
type Engine = "built-in" | "etcd";
const stores = {} as Record<Engine, StoreProcesses>;
let etcd: EtcdProcesses;
const clients: Client[] = [];
let cases = 0;

async function clientOf(engine: Engine, frontend: number, options: ClientOptions = {}): Promise<Client> {
  const frontends = [stores[engine].frontends[frontend] as string];
  // What is cached may be older than what was acknowledged to others: then the interleaving is another one.
  const client = await connect({ frontends, cacheBytesMax: 0, ...options });
  clients.push(client);
  return client;
}

beforeAll(async () => {
  stores["built-in"] = await StoreProcesses.create({ tss: 1, shards: SHARDS, replicas: 1, frontends: 2 });
  etcd = await EtcdProcesses.start();
  stores.etcd = await StoreProcesses.overEtcd(etcd.endpoints, 2);
  await Promise.all(Object.values(stores).map((store) => store.startAll()));
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  for (const store of Object.values(stores)) store[Symbol.dispose]();
  etcd[Symbol.dispose]();
});

/** Keys that nobody has used: x and z on one shard, y on the same or on the other one. */
function freshKeys(isSameShard: boolean): Keys {
  cases += 1;
  const find = (name: string, shard: number) => {
    for (let index = 0; ; index++) {
      const key = `${cases}:${name}${index}`;
      if (shardOf(new TextEncoder().encode(key), SHARDS) === shard) return key;
    }
  };
  return { x: find("x", 0), y: find("y", isSameShard ? 0 : 1), z: find("z", 0) };
}

async function play(
  { script, expected }: Interleaving,
  level: Isolation,
  isSameShard: boolean,
  pair: readonly [Client, Client],
): Promise<{ isRight: boolean; seen: unknown }> {
  const keys = freshKeys(isSameShard);
  const [own] = pair;
  await own.execute((transaction) => {
    long(keys.x).set(transaction, 10n);
    long(keys.y).set(transaction, 20n);
  });
  // Behind this nothing of it is held any more: a read waits for what is prepared.
  await own.readOnly((transaction) =>
    Promise.all([keys.x, keys.y].map((name) => long(name).value(transaction))),
  );
  let begun = 0;
  const begin = () => new Typed(pair[begun++ % 2] as Client, level);
  const final = (...names: string[]) =>
    own.readOnly(async (transaction) =>
      (await Promise.all(names.map((name) => long(name).value(transaction)))).map(Number),
    );
  const seen = await script(begin, keys, final);
  return { isRight: expected[level](seen), seen };
}

const columns = levels.flatMap((level) => [["built-in", level] as const, ["etcd", level] as const]);

describe.each(columns)("S5, %s, %s", (engine, level) => {
  // Keys have no place in etcd.
  const placements = engine === "etcd" ? [true] : [true, false];
  test.each(interleavings.map((each) => [each.name, each] as const))("%s", async (_name, interleaving) => {
    const open = (frontend: number) => clientOf(engine, frontend);
    const [one, sameFrontend, otherFrontend] = [await open(0), await open(0), await open(1)];
    for (const isSameShard of placements)
      for (const other of [sameFrontend, otherFrontend]) {
        const { isRight, seen } = await play(interleaving, level, isSameShard, [one, other]);
        expect({ isSameShard, isSameFrontend: other === sameFrontend, seen, isRight }).toMatchObject({
          isRight: true,
        });
      }
  });
});

test.each(["built-in", "etcd"] as const)(
  "S5, control, %s: a client that does not say what it read turns the strict column red",
  async (engine) => {
    const pair = [
      await clientOf(engine, 0, withoutReads()),
      await clientOf(engine, 1, withoutReads()),
    ] as const;
    const red: string[] = [];
    for (const interleaving of interleavings) {
      const { isRight } = await play(interleaving, "strict", false, pair);
      if (!isRight) red.push(interleaving.name.split(":")[0] as string);
    }
    expect(red).toEqual(["G1b", "G1c", "PMP", "P4", "G-single", "G2-item", "read-only anomaly"]);
  },
);
