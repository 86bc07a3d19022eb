/**
 * The dead man's guard: a host undoes swaps by itself when the operator who made them falls silent.
 *
 * Invariant: a guard is written and synced before the swap it belongs to, and goes either by `disarm` (the
 * operator saw the instance healthy) or by `fire`, never by both: both hold one file lock. Silence is
 * measured on the watcher's own monotonic clock, as signs of life that stop coming, so no clock of another
 * machine matters. After a reboot guards are still there; the next agent that is started on the host starts a
 * watcher for them.
 */
import { join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import { sleep } from "../../core/seams/clock.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { makeDurableDirectory, writeFileAtomically } from "../../core/seams/durable-files.ts";
import { guardState, type GuardState } from "../agent/messages.ts";
import { lockSoon } from "../lock/host-lock.ts";
import { listIfAny, readTextIfAny } from "../release/files.ts";

const GUARD_BYTES_MAX = 64 << 10;
const SUFFIX = ".guard.json";
const LOOK_MS = 200;
/** How long a second watcher waits for the first to end before it leaves the work to it. */
const TAKE_OVER_MS = 3000;

export class Guards {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #directory: string;

  constructor(disk: Disk, clock: Clock, directory: string) {
    this.#disk = disk;
    this.#clock = clock;
    this.#directory = directory;
  }

  async list(): Promise<GuardState[]> {
    const guards: GuardState[] = [];
    for (const { name } of await listIfAny(this.#disk, this.#directory)) {
      if (!name.endsWith(SUFFIX)) continue;
      const text = await readTextIfAny(this.#disk, join(this.#directory, name), GUARD_BYTES_MAX);
      if (text !== undefined) guards.push(guardState.parse(JSON.parse(text)));
    }
    return guards;
  }

  async arm(guard: GuardState): Promise<void> {
    await this.#exclusively(async () => {
      await writeFileAtomically(this.#disk, this.#fileOf(guard.instance), `${JSON.stringify(guard)}\n`);
    });
    await this.renew();
  }

  /** A sign of life: any change of the file is one, so it may be torn or overtaken by another. */
  async renew(): Promise<void> {
    await makeDurableDirectory(this.#disk, this.#directory);
    const file = await this.#disk.open(join(this.#directory, "alive"), "create");
    try {
      await file.write(new TextEncoder().encode(String(this.#clock.monotonicMs()).padEnd(32)), 0);
    } finally {
      await file.close();
    }
  }

  /** Throws NX_ROLLED_BACK when the guard is gone: it fired. */
  async disarm(instance: string): Promise<void> {
    await this.#exclusively(async () => {
      if (await this.#disk.exists(this.#fileOf(instance))) return this.#remove(instance);
      throw new NxError(
        "NX_ROLLED_BACK",
        `${instance} went back to the release before, because the operator was silent`,
        {
          hint: "look at its log and at the connection, then deploy again",
        },
      );
    });
  }

  /**
   * Takes the guard of an instance away, if there is one and it is not of `operation`: somebody else decides
   * about the instance by now.
   */
  async drop(instance: string, operation?: string): Promise<void> {
    const isForeign = (guard: GuardState) => guard.instance === instance && guard.operation !== operation;
    if (!(await this.list()).some(isForeign)) return;
    await this.#exclusively(async () => {
      if ((await this.list()).some(isForeign)) await this.#remove(instance);
    });
  }

  /**
   * Watches until no guard is left; `undo` puts one instance back. Returns at once when another watcher is at
   * work.
   */
  async watch(undo: (guard: GuardState) => Promise<void>): Promise<void> {
    await makeDurableDirectory(this.#disk, this.#directory);
    const post = await this.#takePost();
    if (post === undefined) return;
    try {
      let sign = await this.#sign();
      let heardAtMs = this.#clock.monotonicMs();
      for (;;) {
        const guards = await this.list();
        if (guards.length === 0) return;
        const current = await this.#sign();
        if (current !== sign) [sign, heardAtMs] = [current, this.#clock.monotonicMs()];
        const silentMs = this.#clock.monotonicMs() - heardAtMs;
        for (const guard of guards) if (silentMs >= guard.silenceMs) await this.#fire(guard, undo);
        await sleep(this.#clock, LOOK_MS);
      }
    } finally {
      await post.release();
    }
  }

  async #fire(guard: GuardState, undo: (guard: GuardState) => Promise<void>): Promise<void> {
    await this.#exclusively(async () => {
      if (!(await this.#disk.exists(this.#fileOf(guard.instance)))) return;
      await undo(guard);
      await this.#remove(guard.instance);
    });
  }

  async #takePost(): Promise<{ release(): Promise<void> } | undefined> {
    const deadlineMs = this.#clock.monotonicMs() + TAKE_OVER_MS;
    for (;;) {
      try {
        return await this.#disk.lock(join(this.#directory, "watcher.lock"));
      } catch (error) {
        if (!(error instanceof NxError) || error.code !== "NX_DATA_DIR_LOCKED") throw error;
        if (this.#clock.monotonicMs() > deadlineMs) return undefined;
        await sleep(this.#clock, LOOK_MS);
      }
    }
  }

  #sign(): Promise<string | undefined> {
    return readTextIfAny(this.#disk, join(this.#directory, "alive"), GUARD_BYTES_MAX);
  }

  #fileOf(instance: string): string {
    return join(this.#directory, `${instance}${SUFFIX}`);
  }

  async #remove(instance: string): Promise<void> {
    await this.#disk.remove(this.#fileOf(instance));
    await this.#disk.syncDirectory(this.#directory);
  }

  async #exclusively<Value>(work: () => Promise<Value>): Promise<Value> {
    await makeDurableDirectory(this.#disk, this.#directory);
    const guard = await lockSoon(this.#disk, this.#clock, join(this.#directory, "guards.lock"));
    try {
      return await work();
    } finally {
      await guard.release();
    }
  }
}
