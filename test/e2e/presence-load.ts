/**
 * Loads on a presence service: users that register and look up without pause while epochs pass (scenario 8), connections that
 * do nothing (scenario 23), lookups at a part of what the machine can do (scenario 24).
 *
 * Invariant of a run of the first that returns: what was acknowledged for an epoch was visible in that epoch, and what was not
 * acknowledged for it was not.
 */
import { expect } from "bun:test";
import { closedLoop, openLoop } from "../../src/core/load/pacing.ts";
import { friendOf, type TestUser } from "../../src/presence/users.ts";
import { until } from "./executable.ts";
import { status, testUsers, type PresenceService } from "./presence-service.ts";

/** Pairs of users whose lookups are judged in each epoch: the first registers for the second. */
const JUDGED_PAIRS = 8;
const USERS = 40;

export interface EpochLoad {
  /** Milliseconds from the question for the epoch to the registration's answer, sorted. */
  latenciesMs: number[];
  /** Lookups that were compared with what was acknowledged. */
  judged: number;
}

/** Lets `epochs` epochs pass under load. */
export async function loadAcrossEpochs(service: PresenceService, epochs: number): Promise<EpochLoad> {
  const users = testUsers(USERS, 3);
  const user = (index: number) => users[index % USERS] as TestUser;
  const friend = (index: number) => friendOf(user(index), false);
  const client = service.client();
  const acknowledged = new Map<number, Set<number>>();
  const latenciesMs: number[] = [];
  let isOver = false;
  const register = async (index: number) => {
    const startMs = performance.now();
    try {
      const { epoch } = await client.status();
      const announcement = { friend: friend(index + 1), payload: status(`in ${epoch + 1}`) };
      const { visibleIn } = await client.register(user(index).identity, [announcement], epoch);
      acknowledged.set(visibleIn, (acknowledged.get(visibleIn) ?? new Set()).add(index));
    } catch (error) {
      // The epoch passed between the question and the registration: said so, and not acknowledged.
      if ((error as { code?: string }).code !== "NX_REGISTRATION_REFUSED") throw error;
    }
    latenciesMs.push(performance.now() - startMs);
  };
  const registering = (async () => {
    for (let index = 0; !isOver; index = (index + 2) % USERS) await register(index);
  })();
  const first = (await service.epoch()) + 2;
  let judged = 0;
  try {
    for (let epoch = first; epoch < first + epochs; epoch++) {
      await until(`epoch ${epoch}`, async () => ((await service.epoch()) >= epoch ? true : undefined));
      for (let index = 0; index < 2 * JUDGED_PAIRS; index += 2, judged++) {
        const { friends } = await client.lookup(user(index + 1).identity, [friend(index)], epoch);
        // By this time every acknowledgement for this epoch has arrived: it began before the lookup.
        if (acknowledged.get(epoch)?.has(index) === true)
          expect(friends[0]).toMatchObject({ state: "online", payload: status(`in ${epoch}`) });
        else expect(friends[0]?.state).toBe("offline");
      }
    }
  } finally {
    isOver = true;
    await registering;
  }
  return { latenciesMs: latenciesMs.sort((a, b) => a - b), judged };
}

export interface LookupLoad extends AsyncDisposable {
  /** Lookups a second that this machine does when each worker sends the next one at once. */
  capacity: number;
  /** Lookups a second that have been done since. */
  readonly rate: number;
}

const LOAD_WORKERS = 16;

/** Finds out what rate of lookups saturates the service (with this client on the same machine), then sends at `part` of it. */
export async function lookUpAt(
  service: PresenceService,
  part: number,
  measureMs: number,
): Promise<LookupLoad> {
  const client = service.client();
  const [asking, asked] = testUsers(2, 1) as [TestUser, TestUser];
  let { epoch } = await client.status();
  const following = setInterval(() => void client.status().then((now) => (epoch = now.epoch)), 1000);
  let pacing = closedLoop;
  let done = 0;
  let isOver = false;
  const worker = async () => {
    while (!isOver) {
      const nowMs = performance.now();
      if (pacing.allowance(nowMs) === 0) await Bun.sleep(Math.max(1, pacing.waitMs(nowMs)));
      else {
        pacing.take(nowMs);
        await client.lookup(asking.identity, [friendOf(asked, false)], epoch);
        done += 1;
      }
    }
  };
  const working = Promise.all(Array.from({ length: LOAD_WORKERS }, worker));
  await Promise.race([working, Bun.sleep(measureMs)]);
  const capacity = (done * 1000) / measureMs;
  const startMs = performance.now();
  pacing = openLoop(part * capacity, startMs);
  done = 0;
  return {
    capacity,
    get rate() {
      return (done * 1000) / (performance.now() - startMs);
    },
    async [Symbol.asyncDispose]() {
      isOver = true;
      clearInterval(following);
      await working;
    },
  };
}

/** So many connections that asked one thing each and stay open; closed when the holder ends. */
export async function connectIdle(port: number, count: number): Promise<Disposable> {
  const sockets = await Promise.all(
    Array.from({ length: count }, () =>
      Bun.connect({
        hostname: "127.0.0.1",
        port,
        socket: {
          data() {},
          open: (socket) => void socket.write("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"),
        },
      }),
    ),
  );
  return {
    [Symbol.dispose]() {
      for (const socket of sockets) socket.end();
    },
  };
}
