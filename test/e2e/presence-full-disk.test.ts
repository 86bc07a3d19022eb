/** A registration server on a disk that is full: refuses, says why, loses nothing, and goes on when there is space. */
import { expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { friendOf, type TestUser } from "../../src/presence/users.ts";
import { until } from "./executable.ts";
import { PresenceService, status, testUsers } from "./presence-service.ts";
import { SmallDisk, whyNoSmallDisk } from "./small-disk.ts";

const noSmallDisk = whyNoSmallDisk();
if (noSmallDisk !== undefined) console.log(`skipping the test of a full disk: ${noSmallDisk}`);

test.skipIf(noSmallDisk !== undefined)(
  "a registration server with a full disk refuses with 503, keeps what it acknowledged, and goes on when there is space",
  async () => {
    await using service = await PresenceService.start({ lookups: 2 });
    const { regserver } = service;
    await regserver.end();
    mkdirSync(regserver.dataDir, { recursive: true });
    // Room for the log's next segments and a database at once: each segment is twice as long as the one before.
    regserver.disk = await SmallDisk.mount(regserver.dataDir, 160);
    await regserver.start();
    const users = testUsers(100, 50);
    const client = service.client();
    const epoch = await service.epoch();
    const announce = (index: number) => {
      const { identity, buddies } = users[index] as TestUser;
      const announcements = buddies.map((buddy) => ({
        friend: friendOf(users[buddy] as TestUser, false),
        payload: status(`user ${index}`),
      }));
      return client.register(identity, announcements, epoch);
    };
    await announce(0);
    regserver.disk.fill();
    // The log has space set aside: that is used up first. Users register again and again until one is refused.
    let refusal: Error | undefined;
    while (refusal === undefined)
      await Promise.all(users.map((_, index) => announce(index))).catch((error: Error) => (refusal = error));
    expect(refusal.message).toContain("503");
    expect((await regserver.stats()).ready).toBe(false);
    regserver.disk.free();
    await until("the server to be ready", async () => (await regserver.stats()).ready || undefined);
    await announce(1);
    const next = await service.fastForward();
    const [first] = (users[0] as TestUser).buddies;
    const { friends } = await client.lookup(
      (users[first as number] as TestUser).identity,
      [friendOf(users[0] as TestUser, false)],
      next,
    );
    expect(friends[0]).toMatchObject({ state: "online", payload: status("user 0") });
  },
  // Its hundreds of registrations are sealed by this process: a busy machine takes a minute and more.
  240_000,
);
