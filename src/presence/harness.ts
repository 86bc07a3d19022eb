/**
 * The seed's test harness: registers all users, begins the next epoch, lets every user look all friends up, and compares
 * what they see with who registered for whom.
 *
 * Invariant: every state is judged against the truth; `wrong` counts all that differ, and payloads are compared too.
 */
import { NxError } from "../core/errors.ts";
import { sleep, type Clock } from "../core/seams/clock.ts";
import {
  PresenceClient,
  type ClientOptions,
  type FoundFriend,
  type LookupResult,
  type Traffic,
} from "./client.ts";
import { Server } from "./client/servers.ts";
import { toHex, utf8 } from "./protocol/bytes.ts";
import { friendOf, type TestUser } from "./users.ts";

export interface HarnessOptions {
  client: ClientOptions;
  users: readonly TestUser[];
  clock: Clock;
  /** Users that are busy at once. */
  concurrency: number;
  /** Users that look up; all when absent. */
  lookups?: number;
  /** Waits for the clock's next epoch instead of asking for it. */
  isWaiting: boolean;
  /** Which users announce themselves; all when absent. The others register invisibly. */
  isAnnouncing?: (user: number) => boolean;
  onProgress(phase: "registering" | "looking up", done: number, total: number): void;
  onLooked?(user: number, result: LookupResult): void;
  signal?: AbortSignal;
}

export interface PhaseReport {
  users: number;
  seconds: number;
  msPerUser: number;
  traffic: Traffic;
}

export interface HarnessReport {
  epoch: number;
  fastForward: string;
  register: PhaseReport;
  lookup: PhaseReport;
  states: number;
  online: number;
  /** States or payloads that are not the truth. */
  wrong: number;
  deferred: number;
  downloads: number;
  dropped: Record<string, number>;
  liars: string[];
}

const TEXT_BYTES_MAX = 4096;
const EPOCH_POLL_MS = 200;
/** Epochs in which registering is tried. */
const ATTEMPTS_MAX = 3;

export async function runHarness(options: HarnessOptions): Promise<HarnessReport> {
  const { users, client: clientOptions } = options;
  const client = new PresenceClient(clientOptions);
  const isCombined = clientOptions.combined ?? false;
  const isAnnouncing = options.isAnnouncing ?? (() => true);
  const friends = users.map((user) => friendOf(user, isCombined));

  const { epoch, report: registering } = await inOneEpoch(client, (current) =>
    phase(options, "registering", users.length, async (index, traffic) => {
      const { identity, buddies } = users[index] as TestUser;
      if (!isAnnouncing(index)) await client.registerInvisible(identity, current, traffic);
      else if (isCombined) {
        await client.registerCombined(identity, statusOf(users, index, undefined, client), current, traffic);
      } else {
        const announcements = buddies.map((buddy) => ({
          friend: friends[buddy] as (typeof friends)[number],
          payload: statusOf(users, index, buddy, client),
        }));
        await client.register(identity, announcements, current, traffic);
      }
    }),
  );
  const fastForward = await nextEpoch(options, clientOptions, epoch + 1);

  const report: HarnessReport = {
    ...{ epoch: epoch + 1, fastForward, register: registering, lookup: registering },
    ...{ states: 0, online: 0, wrong: 0, deferred: 0, downloads: 0, dropped: {}, liars: [] },
  };
  const lookups = Math.min(users.length, options.lookups ?? users.length);
  report.lookup = await phase(options, "looking up", lookups, async (index, traffic) => {
    const { identity, buddies } = users[index] as TestUser;
    const own = buddies.map((buddy) => friends[buddy] as (typeof friends)[number]);
    const result = await client.lookup(identity, own, epoch + 1);
    traffic.sent += result.traffic.sent;
    traffic.received += result.traffic.received;
    noteServers(report, result);
    judge(report, result.friends, (position) => {
      const buddy = buddies[position] as number;
      const isOnline =
        isAnnouncing(buddy) && (isCombined || (users[buddy] as TestUser).buddies.includes(index));
      return isOnline ? statusOf(users, buddy, isCombined ? undefined : index, client) : undefined;
    });
    options.onLooked?.(index, result);
  });
  return report;
}

/** Registers within one epoch: when it passes meanwhile, all over again in the next one. */
export async function inOneEpoch(
  client: PresenceClient,
  register: (epoch: number) => Promise<PhaseReport>,
): Promise<{ epoch: number; report: PhaseReport }> {
  for (let attempt = 1; ; attempt++) {
    const { epoch } = await client.status();
    const outcome = await register(epoch).catch((error: NxError) => error);
    const hasPassed = (await client.status()).epoch !== epoch;
    if (!hasPassed && !(outcome instanceof Error)) return { epoch, report: outcome };
    if (!hasPassed || attempt === ATTEMPTS_MAX)
      throw outcome instanceof Error
        ? outcome
        : new NxError(
            "NX_REGISTRATION_REFUSED",
            "the epochs are too short for all users to register in one",
            {
              hint: "take fewer users, or longer epochs",
            },
          );
  }
}

/** Counts what a user saw; `truthOf` is the status that the friend at a position has set, if it is visible. */
export function judge(
  report: HarnessReport,
  friends: readonly FoundFriend[],
  truthOf: (position: number) => Uint8Array | undefined,
): void {
  for (const [position, found] of friends.entries()) {
    report.states += 1;
    if (found.state === "online") report.online += 1;
    if (found.state === "deferred") report.deferred += 1;
    else if (!isTrue(found, truthOf(position))) report.wrong += 1;
  }
}

function isTrue({ state, payload }: FoundFriend, truth: Uint8Array | undefined): boolean {
  if (truth === undefined) return state === "offline";
  return state === "online" && payload !== undefined && toHex(payload) === toHex(truth);
}

/** What a lookup says of the servers. */
function noteServers(report: HarnessReport, { isDownload, dropped, liars }: LookupResult): void {
  if (isDownload) report.downloads += 1;
  for (const { server } of dropped) report.dropped[server] = (report.dropped[server] ?? 0) + 1;
  for (const liar of liars) if (!report.liars.includes(liar)) report.liars.push(liar);
}

/** A status that all friends read. */
export const statusText = (users: readonly TestUser[], from: number, service: ClientOptions): Uint8Array =>
  statusOf(users, from, undefined, { payloadBytes: service.payloadBytes ?? 16 });

/** The seed's status: `a1b2c3->d4e5f6` centred in blanks; in the combined mode there is no reader to name. */
function statusOf(
  users: readonly TestUser[],
  from: number,
  to: number | undefined,
  client: Pick<PresenceClient, "payloadBytes">,
): Uint8Array {
  const short = (user: number) => toHex((users[user] as TestUser).identity.publicKey.subarray(0, 3));
  const text = to === undefined ? `${short(from)}->all` : `${short(from)}->${short(to)}`;
  const width = client.payloadBytes;
  const left = Math.max(0, Math.floor((width - text.length) / 2));
  return utf8(`${" ".repeat(left)}${text}`.padEnd(width).slice(0, width));
}

/** Runs `work` for 0 … total - 1, so many at once as the options say, and reports what it took. */
export async function phase(
  {
    clock,
    concurrency,
    onProgress,
    signal,
  }: Pick<HarnessOptions, "clock" | "concurrency" | "onProgress" | "signal">,
  name: "registering" | "looking up",
  total: number,
  work: (index: number, traffic: Traffic) => Promise<void>,
): Promise<PhaseReport> {
  const traffic: Traffic = { sent: 0, received: 0 };
  const startMs = clock.monotonicMs();
  let next = 0;
  let done = 0;
  const lane = async () => {
    while (next < total) {
      signal?.throwIfAborted();
      await work(next++, traffic);
      onProgress(name, ++done, total);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  const seconds = (clock.monotonicMs() - startMs) / 1000;
  return { users: total, seconds, msPerUser: (seconds * 1000) / Math.max(1, total), traffic };
}

/** Goes on to `epoch`, the one after the current: waits for the clock or asks the registration server, as the options say. */
export function nextEpoch(
  { isWaiting, clock, signal }: Pick<HarnessOptions, "isWaiting" | "clock" | "signal">,
  service: ClientOptions,
  epoch: number,
): Promise<string> {
  return isWaiting ? waitForEpoch(new PresenceClient(service), epoch, clock, signal) : askForEpoch(service);
}

/** Begins the next epoch on the registration server; returns what it said. */
export async function askForEpoch(options: ClientOptions): Promise<string> {
  const server = new Server(options.regServer, options);
  const { status, body } = await server.exchange("/debugfastforward", undefined, TEXT_BYTES_MAX);
  if (status === 200) return new TextDecoder().decode(body);
  throw new NxError(
    "NX_REGISTRATION_REFUSED",
    `${server.name} does not begin the next epoch when asked (${status})`,
    {
      hint: 'set "debug": true in its configuration and run the client on the same host, or give --wait',
    },
  );
}

async function waitForEpoch(client: PresenceClient, epoch: number, clock: Clock, signal?: AbortSignal) {
  for (let current = 0; current < epoch; { epoch: current } = await client.status()) {
    signal?.throwIfAborted();
    await sleep(clock, EPOCH_POLL_MS);
  }
  return `waited for epoch ${epoch}`;
}
