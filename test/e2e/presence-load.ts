/**
 * Loads on a presence service: users that register and look up without pause while epochs pass (scenario 8), and connections that
 * do nothing (scenario 23).
 *
 * Invariant of a run of the first that returns: what was acknowledged for an epoch was visible in that epoch, and what was not
 * acknowledged for it was not.
 */
import { expect } from "bun:test";
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
