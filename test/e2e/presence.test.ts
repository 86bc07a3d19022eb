/**
 * Private presence with real processes: the baseline scenarios, in every mode of the protocol.
 */
import { expect, test } from "bun:test";
import { runHarness } from "../../src/presence/harness.ts";
import { realClock } from "../../src/core/seams/clock.ts";
import { PresenceService, testUsers, type ServiceOptions } from "./presence-service.ts";

const modes: [string, ServiceOptions][] = [
  ["protocol 1, as the seed spoke it", { settings: { protocol: 1 } }],
  ["protocol 2", { settings: { protocol: 2, payloadBytes: 40 } }],
  ["protocol 3", {}],
  ["protocol 3 with batch codes", { settings: { batchCodes: true } }],
  ["protocol 3 in combined mode", { settings: { combined: true } }],
];

test.each(modes)(
  "every user sees exactly who announced themselves: %s",
  async (_name, options) => {
    await using service = await PresenceService.start(options);
    const report = await runHarness({
      client: service.clientOptions(),
      users: testUsers(20, 10),
      clock: realClock,
      concurrency: 4,
      isWaiting: false,
      isAnnouncing: (user) => user % 5 !== 0,
      onProgress: () => {},
    });
    expect(report).toMatchObject({ states: 200, wrong: 0, deferred: 0, dropped: {}, liars: [] });
    expect(report.online).toBeGreaterThan(20);
  },
  120_000,
);
