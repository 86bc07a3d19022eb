/** Scenario 21: short-term keys through a long-term service, statuses through a short-term one. Real processes. */
import { expect, test } from "bun:test";
import { realClock } from "../../src/core/seams/clock.ts";
import { combinedKeys } from "../../src/presence/protocol/blinding.ts";
import { nodePrimitives } from "../../src/presence/protocol/primitives-node.ts";
import { runTwoDatabases } from "../../src/presence/two-database-harness.ts";
import { TwoDatabaseUser } from "../../src/presence/two-databases.ts";
import { friendOf, type TestUser } from "../../src/presence/users.ts";
import { PresenceService, status, testUsers } from "./presence-service.ts";

const LONG_SECONDS = 6000;
const SHORT_SECONDS = 1000;

async function services() {
  const long = await PresenceService.start({
    lookups: 2,
    settings: { payloadBytes: 32, epochSeconds: LONG_SECONDS },
  });
  const short = await PresenceService.start({
    lookups: 2,
    settings: { combined: true, epochSeconds: SHORT_SECONDS },
  });
  return {
    long,
    short,
    options: {
      standard: long.clientOptions(),
      combined: short.clientOptions(),
      longEpochSeconds: LONG_SECONDS,
      shortEpochSeconds: SHORT_SECONDS,
    },
    async [Symbol.asyncDispose]() {
      await long[Symbol.asyncDispose]();
      await short[Symbol.asyncDispose]();
    },
  };
}

test("scenario 21: three cycles of all users, each with fresh keys", async () => {
  await using all = await services();
  const { standard, combined } = all.options;
  for (let cycle = 0; cycle < 3; cycle++) {
    const report = await runTwoDatabases({
      ...{ standard, combined, users: testUsers(10, 6), clock: realClock, concurrency: 4, isWaiting: false },
      onProgress: () => {},
    });
    expect(report).toMatchObject({ states: 60, wrong: 0 });
    expect(report.online).toBeGreaterThan(5);
  }
}, 120_000);

test("scenario 21: a status changes within one short epoch, a friend who is left out sees nothing from the next long one on", async () => {
  await using all = await services();
  const { long, short, options } = all;
  const [annKeys, benKeys] = testUsers(2, 1) as [TestUser, TestUser];
  const [ann, ben] = [
    new TwoDatabaseUser(annKeys.identity, options),
    new TwoDatabaseUser(benKeys.identity, options),
  ];
  const [annAsFriend, benAsFriend] = [friendOf(annKeys, false), friendOf(benKeys, false)];
  let longEpoch = await long.epoch();
  let shortEpoch = await short.epoch();
  /** Goes to the short epoch whose successor is the first of the next long one, and to that long one. */
  const nextLong = async () => {
    longEpoch = await long.fastForward();
    while (ann.longEpochOf(shortEpoch + 1) < longEpoch) shortEpoch = await short.fastForward();
  };
  const see = async () => (await ben.lookUp([annAsFriend], shortEpoch))[0];

  await ann.announce([benAsFriend], longEpoch);
  await nextLong();
  await ann.setStatus(status("at lunch"), shortEpoch);
  shortEpoch = await short.fastForward();
  await ben.fetchKeys([annAsFriend], longEpoch);
  expect(await see()).toMatchObject({ state: "online", payload: status("at lunch") });
  await ann.setStatus(status("back"), shortEpoch);
  shortEpoch = await short.fastForward();
  expect(await see()).toMatchObject({ state: "online", payload: status("back") });
  await ann.setStatus(undefined, shortEpoch);
  shortEpoch = await short.fastForward();
  expect(await see()).toMatchObject({ state: "offline" });

  // Left out of the next long epoch: ann goes on setting statuses, ben cannot see them, nor tell why.
  await ann.announce([], longEpoch);
  await nextLong();
  await ann.setStatus(status("elsewhere"), shortEpoch);
  shortEpoch = await short.fastForward();
  expect(await see()).toMatchObject({ state: "offline" });
  await ben.fetchKeys([annAsFriend], longEpoch);
  expect(await see()).toMatchObject({ state: "offline" });
}, 120_000);

test("a blinded key tells nothing of another epoch's", () => {
  const seed = nodePrimitives.random(32);
  const publicKey = nodePrimitives.ed25519PublicKey(seed);
  const [one, other] = [
    combinedKeys(nodePrimitives, publicKey, 1),
    combinedKeys(nodePrimitives, publicKey, 2),
  ];
  expect(one.blindedKey).not.toEqual(other.blindedKey);
  expect(one.id).not.toEqual(other.id);
});
