/**
 * Power loss under a registration server: clients register while epochs pass on a simulated disk, the power goes at a
 * random moment, the server starts again from what the disk kept, and a checker compares.
 *
 * What is checked: every acknowledged registration is in the database of its epoch, whole; the epoch never goes back;
 * what is listed as a database has the bytes that its metadata says. The result is a function of the seed alone.
 */
import { silentLog } from "../../src/core/logging/log.ts";
import { SimCluster } from "../../src/core/sim/world.ts";
import { concat, epochBytes, toHex } from "../../src/presence/protocol/bytes.ts";
import { nodePrimitives } from "../../src/presence/protocol/primitives-node.ts";
import { schemeOf } from "../../src/presence/protocol/scheme.ts";
import { buildDatabase } from "../../src/presence/server/build-database.ts";
import { Databases, type Database } from "../../src/presence/server/databases.ts";
import { Registrar, type RegistrarOptions } from "../../src/presence/server/registrar.ts";
import { Signer } from "../../src/presence/server/signer.ts";

export interface PresenceSimulation {
  seed: number;
  crashes?: number;
  /** A negative control: registrations count as acknowledged before they are durable. */
  isHasty?: boolean;
}

export interface PresenceSimulationResult {
  violations: string[];
  acknowledged: number;
  epochs: number;
}

const scheme = schemeOf(3);
const config: RegistrarOptions["config"] = {
  ...{ protocol: 3, combined: false, batchCodes: false, payloadBytes: 16, maxBuddies: 2 },
  ...{ epochSeconds: 1, retainEpochs: 50 },
};
const CLIENTS = 4;
const THINK_MS_MAX = 120;
const DATA_DIR = "/data";

type World = RegistrarOptions["world"];

async function open(world: World): Promise<{ registrar: Registrar; databases: Databases }> {
  const log = silentLog();
  await world.disk.makeDirectory(DATA_DIR);
  const databases = await Databases.open({
    ...{ world, directory: DATA_DIR, version: 3, retain: config.retainEpochs, log },
    onRetired: () => {},
  });
  const registrar = await Registrar.open({
    ...{ world, config, databases, log },
    registrationsBytesMax: 1 << 30,
    directory: `${DATA_DIR}/registrations`,
    segmentBytesMin: 16 << 10,
    signer: await Signer.open(world, DATA_DIR, undefined),
    build: async (spec, chunks) => buildDatabase(concat(...chunks), spec),
    onFatal: (error) => {
      throw error;
    },
  });
  return { registrar, databases };
}

/** Ids by the epoch that they were acknowledged for. */
type Acknowledged = Map<number, Set<string>>;

async function register(
  registrar: Registrar,
  secrets: Uint8Array,
  isHasty: boolean,
  acknowledged: Acknowledged,
) {
  const epoch = registrar.epoch + 1;
  const recordBytes = scheme.idBytes + scheme.sealedBytes;
  const ids = [0, 1].map((record) =>
    toHex(
      scheme.idOf(nodePrimitives, secrets.subarray(record * recordBytes, record * recordBytes + 16), epoch),
    ),
  );
  const outcome = registrar.register(concat(epochBytes(epoch), secrets));
  if (!isHasty && (await outcome).error !== 0) throw new Error("a genuine registration was refused");
  const all = acknowledged.get(epoch) ?? new Set<string>();
  acknowledged.set(epoch, all);
  for (const id of ids) all.add(id);
}

/** What is missing from a database, or wrong with it. */
async function check(
  world: World,
  database: Database | undefined,
  epoch: number,
  ids: Set<string>,
): Promise<string[]> {
  if (database === undefined) return [`epoch ${epoch} has no database, but ${ids.size} acknowledged records`];
  const file = await world.disk.open(database.path, "read");
  const data = Buffer.alloc(database.bytes + 1);
  const length = await file.read(data, 0);
  await file.close();
  if (length !== database.bytes)
    return [`the database of epoch ${epoch} has ${length} of ${database.bytes} bytes`];
  const missing = [...ids].filter((id) => !data.includes(Buffer.from(id, "hex")));
  return missing.length === 0
    ? []
    : [`epoch ${epoch}: ${missing.length} of ${ids.size} acknowledged records are gone`];
}

export function runPresenceSimulation(options: PresenceSimulation): PresenceSimulationResult {
  const { seed, crashes = 3, isHasty = false } = options;
  const disk = { sectorBytes: 512, latencyMinMs: 0.05, latencyMeanMs: 2 };
  const cluster = new SimCluster(seed, { disk });
  const { scheduler } = cluster;
  const random = scheduler.fork();
  const host = cluster.host("10.0.0.1");
  const acknowledged: Acknowledged = new Map();
  const violations: string[] = [];
  let epochBefore = 0;
  for (let life = 0; life < crashes; life++) {
    const { world } = host.start();
    const { clock } = world;
    scheduler.run(async () => {
      const { registrar } = await open(world);
      const wait = (ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve));
      const secretsBytes = 2 * (scheme.idBytes + scheme.sealedBytes);
      const loop = (): void =>
        void wait(random.float() * THINK_MS_MAX)
          .then(() => register(registrar, random.bytes(secretsBytes), isHasty, acknowledged))
          .then(loop);
      for (let client = 0; client < CLIENTS; client++) loop();
      // Many lives end within a few milliseconds of a boundary, where most is under way.
      const untilBoundaryMs = 1000 - (clock.nowMs() % 1000);
      const isAtBoundary = random.integer(2) === 0;
      const lifeMs = isAtBoundary ? untilBoundaryMs + random.float() * 30 : random.float() * 2500;
      await new Promise<void>((resolve) => scheduler.after(lifeMs, resolve));
      epochBefore = registrar.epoch;
    });
    host.losePower({ names: random.integer(2) === 0 ? "any" : "ordered", isTearing: true });
    const { world: recovered } = host.start();
    scheduler.run(async () => {
      const { registrar, databases } = await open(recovered);
      if (registrar.epoch + 1 < Math.max(...acknowledged.keys(), 0)) violations.push("the epoch went back");
      while ([...acknowledged.keys()].some((epoch) => epoch > registrar.epoch)) await registrar.fastForward();
      for (const [epoch, ids] of acknowledged)
        violations.push(...(await check(recovered, databases.get(epoch), epoch, ids)));
      await registrar.close();
    });
    host.losePower({ names: "ordered", isTearing: false });
  }
  const total = [...acknowledged.values()].reduce((sum, ids) => sum + ids.size / 2, 0);
  return { violations, acknowledged: total, epochs: epochBefore };
}
