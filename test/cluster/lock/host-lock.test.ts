/** The lock of one host: one holder per generation, refused once a later one exists, also over crashes. */
import { expect, test } from "bun:test";
import { HostLock, type LockClaim } from "../../../src/cluster/lock/host-lock.ts";
import { SimCluster } from "../../../src/core/sim/world.ts";

const claim = (generation: number, more: Partial<LockClaim> = {}): LockClaim => ({
  generation,
  owner: `operator ${generation}`,
  why: "deploy p",
  ttlMs: 1000,
  isForced: false,
  ...more,
});

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => "ok",
    (error: { code: string }) => error.code,
  );

function simulate(work: (lock: HostLock, cluster: SimCluster) => Promise<void>, seed = 1): void {
  const cluster = new SimCluster(seed);
  const { world } = cluster.host("10.0.0.1").start();
  cluster.scheduler.run(() => work(new HostLock(world.disk, world.clock, "/lock"), cluster));
}

test("is held by one at a time; who comes second is told who, why and until when", () => {
  simulate(async (lock) => {
    await lock.acquire(claim(1));
    const refused = await lock.acquire(claim(2)).catch((error: Error) => error);
    expect(refused).toMatchObject({ code: "NX_LOCK_HELD" });
    expect((refused as Error).message).toContain("operator 1");
    expect((refused as Error).message).toContain("deploy p");
    await lock.release(1);
    expect(await codeOf(lock.acquire(claim(2)))).toBe("ok");
  });
});

test("an expired lock can be taken, a renewed one not", () => {
  simulate(async (lock, { scheduler }) => {
    await lock.acquire(claim(1));
    await new Promise<void>((resolve) => void scheduler.after(800, resolve));
    await lock.renew(1, 1000);
    await new Promise<void>((resolve) => void scheduler.after(800, resolve));
    expect(await codeOf(lock.acquire(claim(2)))).toBe("NX_LOCK_HELD");
    await new Promise<void>((resolve) => void scheduler.after(800, resolve));
    expect(await codeOf(lock.acquire(claim(2)))).toBe("ok");
  });
});

test("whoever lost it can neither renew nor change anything, and giving it back harms nobody", () => {
  simulate(async (lock) => {
    await lock.acquire(claim(1));
    await lock.acquire(claim(2, { isForced: true }));
    expect(await codeOf(lock.renew(1, 1000))).toBe("NX_LOCK_LOST");
    expect(await codeOf(lock.assertHeld(1))).toBe("NX_LOCK_LOST");
    await lock.release(1);
    expect((await lock.state()).holder?.owner).toBe("operator 2");
    expect(await codeOf(lock.assertHeld(2))).toBe("ok");
  });
});

test("a generation is never given twice, also after it was given back", () => {
  simulate(async (lock) => {
    await lock.acquire(claim(5));
    await lock.release(5);
    expect(await codeOf(lock.acquire(claim(5)))).toBe("NX_LOCK_LOST");
    expect(await codeOf(lock.acquire(claim(4)))).toBe("NX_LOCK_LOST");
    expect(await codeOf(lock.acquire(claim(6)))).toBe("ok");
  });
});

test("many at once: one gets it", () => {
  for (let seed = 1; seed <= 20; seed++) {
    simulate(async (lock) => {
      const codes = await Promise.all(
        [1, 2, 3, 4, 5].map((generation) => codeOf(lock.acquire(claim(generation)))),
      );
      expect(codes.filter((code) => code === "ok")).toHaveLength(1);
    }, seed);
  }
});

test("power loss takes no generation back that somebody was told", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const cluster = new SimCluster(seed);
    const host = cluster.host("10.0.0.1");
    let told = 0;
    const { world } = host.start();
    const lock = new HostLock(world.disk, world.clock, "/lock");
    cluster.scheduler.run(async () => {
      const acquiring = (async () => {
        for (let generation = 1; generation <= 6; generation++) {
          await lock.acquire(claim(generation));
          told = generation;
          await lock.release(generation);
        }
      })();
      acquiring.catch(() => undefined);
      await new Promise<void>((resolve) => void cluster.scheduler.after(seed * 0.35, resolve));
      host.losePower({ names: "any", isTearing: true });
      const next = host.start().world;
      const { generation } = await new HostLock(next.disk, next.clock, "/lock").state();
      expect(generation).toBeGreaterThanOrEqual(told);
    });
  }
});
