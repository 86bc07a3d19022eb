/**
 * Private presence for longer: 100,000 random bodies, a minute of epochs of five seconds under load, more lives of the
 * simulated registration server, and lookups for SECONDS (600 when absent) with epochs of ten seconds, during which
 * memory, files and descriptors must stay bounded.
 *
 *   bun run soak presence [SECONDS]
 */
import { readdirSync } from "node:fs";
import { realClock } from "../../src/core/seams/clock.ts";
import { seededRandom } from "../../src/core/seams/random.ts";
import { runHarness } from "../../src/presence/harness.ts";
import { epochBytes } from "../../src/presence/protocol/bytes.ts";
import { runPresenceSimulation } from "../crash/presence-simulation.ts";
import { PresenceService, testUsers, type PresenceProcess } from "../e2e/presence-service.ts";
import type { Soak } from "./run.ts";

const FUZZED_BODIES = 100_000;
const SIMULATED_LIVES = 300;
const CONCURRENCY = 32;

async function fuzz(protocol: 1 | 3): Promise<Record<number, number>> {
  await using service = await PresenceService.start({ lookups: 2, settings: { protocol } });
  const epoch = await service.epoch();
  const random = seededRandom(protocol);
  const statuses: Record<number, number> = {};
  let left = FUZZED_BODIES / 2;
  const worker = async () => {
    while (left-- > 0) {
      const length = random.integer(random.integer(20) === 0 ? 20_000 : 300);
      const body = random.bytes(length) as Uint8Array<ArrayBuffer>;
      if (length > 0 && random.integer(4) > 0) body[0] = 0xfd + random.integer(3);
      const isRegistration = random.integer(4) === 0;
      if (length > 4 && random.integer(4) > 0)
        body.set(epochBytes(epoch + (isRegistration ? 1 : 0)), isRegistration ? 0 : 1);
      const url = isRegistration
        ? `${service.regserver.url}/register/${epoch}/`
        : `${service.lookups[random.integer(2)]?.url}/lookup/${epoch}/`;
      const { status } = await fetch(url, { method: "POST", body });
      statuses[status] = (statuses[status] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  for (const status of Object.keys(statuses))
    if (Number(status) >= 500) throw new Error(`answers ${status} were given`);
  for (const server of [service.regserver, ...service.lookups]) await server.stats(); // alive
  return statuses;
}

async function simulate(): Promise<number> {
  let acknowledged = 0;
  for (let seed = 1000; seed < 1000 + SIMULATED_LIVES / 3; seed++) {
    const result = runPresenceSimulation({ seed });
    if (result.violations.length > 0) throw new Error(`seed ${seed}: ${result.violations.join("; ")}`);
    acknowledged += result.acknowledged;
  }
  return acknowledged;
}

/** Harness after harness while the clock's epochs pass; every state is judged. */
async function epochs(epochSeconds: number, seconds: number) {
  await using service = await PresenceService.start({ settings: { epochSeconds, retainEpochs: 3 } });
  const servers = [service.regserver, ...service.lookups];
  const users = testUsers(20, 10);
  const endMs = performance.now() + seconds * 1000;
  let rounds = 0;
  let states = 0;
  let early: number[] = [];
  let late: number[] = [];
  while (performance.now() < endMs) {
    const report = await runHarness({
      ...{
        client: service.clientOptions(),
        users,
        clock: realClock,
        concurrency: 4,
        isWaiting: true,
        onProgress: () => {},
      },
    });
    if (report.wrong > 0) throw new Error(`${report.wrong} states were wrong in round ${rounds}`);
    states += report.states;
    rounds += 1;
    late = await Promise.all(servers.map(residentMegabytes));
    // Caches and the engine's heap have settled after a few rounds.
    if (rounds === 5) early = late;
  }
  const files = await Promise.all(servers.map(async (server) => (await server.stats()).process.openFiles));
  const databases = servers.map(
    ({ dataDir }) => readdirSync(dataDir).filter((name) => name.endsWith(".dat")).length,
  );
  // Two files for each of three epochs, and those of one that is being published.
  if (Math.max(...databases) > 8) throw new Error(`${Math.max(...databases)} database files are kept`);
  if (Math.max(...files) > 200) throw new Error(`${Math.max(...files)} files are open`);
  return { rounds, states, rssMegabytes: { early, late }, openFiles: files };
}

const residentMegabytes = async (server: PresenceProcess) =>
  Math.round((await server.stats()).process.rssBytes / 2 ** 20);

export const soak: Soak = {
  summary: "private presence: fuzzed bodies, epochs under load, simulated power loss, memory over time",
  async run([seconds = "600"]) {
    return {
      fuzzed: { protocol1: await fuzz(1), protocol3: await fuzz(3) },
      simulated: await simulate(),
      epochsOfFiveSeconds: await epochs(5, Math.min(60, Number(seconds))),
      epochsOfTenSeconds: await epochs(10, Number(seconds)),
    };
  },
};
