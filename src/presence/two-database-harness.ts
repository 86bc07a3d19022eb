/**
 * The harness for the two-database system: one long epoch of keys, then one short epoch of statuses, judged as the
 * plain harness does (harness.ts).
 *
 * Invariant: statuses are set for a short epoch that lies in the long one that the keys are for. Services that begin epochs
 * when asked are brought to the first such epoch; who waits for the clock takes the next one after the long one has begun,
 * so a long epoch has to be three short ones long.
 */
import { PresenceClient, type ClientOptions, type Traffic } from "./client.ts";
import {
  askForEpoch,
  inOneEpoch,
  judge,
  nextEpoch,
  phase,
  statusText,
  type HarnessOptions,
  type HarnessReport,
} from "./harness.ts";
import { Server } from "./client/servers.ts";
import { TwoDatabaseUser, type TwoDatabaseOptions } from "./two-databases.ts";
import { friendOf } from "./users.ts";

const STATUS_BYTES_MAX = 64 * 1024;

export type TwoDatabaseHarness = Omit<HarnessOptions, "client"> & {
  standard: ClientOptions;
  combined: ClientOptions;
};

export async function runTwoDatabases(options: TwoDatabaseHarness): Promise<HarnessReport> {
  const { standard, combined, users } = options;
  const services: TwoDatabaseOptions = {
    standard,
    combined,
    longEpochSeconds: await epochSecondsOf(standard),
    shortEpochSeconds: await epochSecondsOf(combined),
  };
  const people = users.map(({ identity }) => new TwoDatabaseUser(identity, services));
  const friends = users.map((user) => friendOf(user, false));
  const ownFriends = (index: number) =>
    (users[index]?.buddies ?? []).map((buddy) => friends[buddy] as (typeof friends)[number]);
  const person = (index: number) => people[index] as TwoDatabaseUser;
  const longClient = new PresenceClient(standard);
  const shortClient = new PresenceClient(combined);

  const { epoch: longEpoch, report: announcing } = await inOneEpoch(longClient, (epoch) =>
    phase(options, "registering", users.length, (index) => person(index).announce(ownFriends(index), epoch)),
  );
  const longForward = await nextEpoch(options, standard, longEpoch + 1);
  const firstShort = Math.ceil(((longEpoch + 1) * services.longEpochSeconds) / services.shortEpochSeconds);
  if (options.isWaiting) await nextEpoch(options, combined, firstShort);
  else
    for (let { epoch } = await shortClient.status(); epoch < firstShort - 1; epoch++)
      await askForEpoch(combined);
  const { epoch: shortEpoch, report: setting } = await inOneEpoch(shortClient, (epoch) =>
    phase(options, "registering", users.length, (index) =>
      person(index).setStatus(statusText(users, index, combined), epoch),
    ),
  );
  const fastForward = `${longForward}, ${await nextEpoch(options, combined, shortEpoch + 1)}`;
  const seconds = announcing.seconds + setting.seconds;
  const msPerUser = announcing.msPerUser + setting.msPerUser;
  const register = { users: users.length, seconds, msPerUser, traffic: takeTraffic(people) };

  const report: HarnessReport = {
    ...{ epoch: shortEpoch + 1, fastForward, register, lookup: register },
    ...{ states: 0, online: 0, wrong: 0, deferred: 0, downloads: 0, dropped: {}, liars: [] },
  };
  report.lookup = await phase(options, "looking up", users.length, async (index) => {
    await person(index).fetchKeys(ownFriends(index), longEpoch + 1);
    const seen = await person(index).lookUp(ownFriends(index), shortEpoch + 1);
    judge(report, seen, (position) => {
      const buddy = users[index]?.buddies[position] as number;
      const isOnline = users[buddy]?.buddies.includes(index) === true;
      return isOnline ? statusText(users, buddy, combined) : undefined;
    });
  });
  report.lookup.traffic = takeTraffic(people);
  return report;
}

function takeTraffic(people: readonly TwoDatabaseUser[]): Traffic {
  const sum = { sent: 0, received: 0 };
  for (const { traffic } of people) {
    sum.sent += traffic.sent;
    sum.received += traffic.received;
    traffic.sent = 0;
    traffic.received = 0;
  }
  return sum;
}

async function epochSecondsOf(options: ClientOptions): Promise<number> {
  const { body } = await new Server(options.regServer, options).exchange("/", undefined, STATUS_BYTES_MAX);
  return (JSON.parse(new TextDecoder().decode(body)) as { epochSeconds: number }).epochSeconds;
}
