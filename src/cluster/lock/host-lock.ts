/**
 * The cluster lock as one host keeps it: who may change the deployment, until when, and a generation that
 * only grows.
 *
 * Invariant: a generation is given to one holder at most, also across crashes, because the new state is
 * synced before anybody is told. What a holder asks carries its generation; once a later one exists, the
 * earlier holder is refused, so an operator who slept through the expiry cannot undo another's work.
 * Read-change-write is guarded by a file lock against other agents of this host.
 */
import { join } from "node:path";
import { NxError } from "../../core/errors.ts";
import type { Clock } from "../../core/seams/clock.ts";
import { sleep } from "../../core/seams/clock.ts";
import type { Disk } from "../../core/seams/disk.ts";
import { makeDurableDirectory, writeFileAtomically } from "../../core/seams/durable-files.ts";
import { lockState, type LockState } from "../agent/messages.ts";
import { readTextIfAny } from "../release/files.ts";

const STATE_BYTES_MAX = 64 << 10;
const RETRY_MS = 5;
const RETRIES_MAX = 2000;

export interface LockClaim {
  generation: number;
  owner: string;
  why: string;
  ttlMs: number;
  isForced: boolean;
}

export class HostLock {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #directory: string;

  constructor(disk: Disk, clock: Clock, directory: string) {
    this.#disk = disk;
    this.#clock = clock;
    this.#directory = directory;
  }

  get #file(): string {
    return join(this.#directory, "lock.json");
  }

  async state(): Promise<LockState> {
    const text = await readTextIfAny(this.#disk, this.#file, STATE_BYTES_MAX);
    if (text === undefined) return { generation: 0, isExpired: false };
    const { generation, holder } = lockState.parse({ isExpired: false, ...(JSON.parse(text) as object) });
    if (holder === undefined) return { generation, isExpired: false };
    return { generation, holder, isExpired: this.#clock.nowMs() >= holder.expiresAtMs };
  }

  /**
   * Throws NX_LOCK_HELD while another holds it, and NX_LOCK_LOST for a generation that is not above all
   * others.
   */
  acquire({ generation, owner, why, ttlMs, isForced }: LockClaim): Promise<LockState> {
    return this.#exclusively(async () => {
      const state = await this.state();
      if (state.holder !== undefined && !state.isExpired && !isForced) throw heldError(state);
      if (generation <= state.generation) {
        throw new NxError(
          "NX_LOCK_LOST",
          `generation ${generation} of the lock is taken (${state.generation} is the last)`,
        );
      }
      const nowMs = this.#clock.nowMs();
      return this.#write({ generation, holder: { owner, why, sinceMs: nowMs, expiresAtMs: nowMs + ttlMs } });
    });
  }

  /** Throws NX_LOCK_LOST when it is another's by now. An expired lock that nobody took is renewed. */
  renew(generation: number, ttlMs: number): Promise<LockState> {
    return this.#exclusively(async () => {
      const { holder } = await this.assertHeld(generation);
      if (holder === undefined) throw lostError(await this.state(), generation);
      return this.#write({ generation, holder: { ...holder, expiresAtMs: this.#clock.nowMs() + ttlMs } });
    });
  }

  /** Gives it back if it is still that of `generation`. */
  release(generation: number): Promise<LockState> {
    return this.#exclusively(async () => {
      const state = await this.state();
      return state.generation === generation ? this.#write({ generation }) : state;
    });
  }

  /** Throws NX_LOCK_LOST unless the lock is held with this generation. */
  async assertHeld(generation: number): Promise<LockState> {
    const state = await this.state();
    if (state.generation !== generation || state.holder === undefined) throw lostError(state, generation);
    return state;
  }

  async #write(state: Pick<LockState, "generation" | "holder">): Promise<LockState> {
    await writeFileAtomically(this.#disk, this.#file, `${JSON.stringify(state)}\n`);
    return this.state();
  }

  async #exclusively<Value>(work: () => Promise<Value>): Promise<Value> {
    await makeDurableDirectory(this.#disk, this.#directory);
    const guard = await lockSoon(this.#disk, this.#clock, join(this.#directory, "lock.guard"));
    try {
      return await work();
    } finally {
      await guard.release();
    }
  }
}

/** Takes a lock file that others hold only for moments. */
export async function lockSoon(
  disk: Disk,
  clock: Clock,
  path: string,
): Promise<{ release(): Promise<void> }> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await disk.lock(path);
    } catch (error) {
      const isHeld = error instanceof NxError && error.code === "NX_DATA_DIR_LOCKED";
      if (!isHeld || attempt > RETRIES_MAX) throw error;
      await sleep(clock, RETRY_MS);
    }
  }
}

function heldError({ holder, generation }: LockState): NxError {
  const since = new Date(holder?.sinceMs ?? 0).toISOString();
  const until = new Date(holder?.expiresAtMs ?? 0).toISOString();
  return new NxError(
    "NX_LOCK_HELD",
    `${holder?.owner} has the lock since ${since} (${holder?.why}; generation ${generation}; until ${until} unless renewed)`,
    { hint: "wait, or take it with `node-x unlock --force` if that operator is gone" },
  );
}

function lostError(state: LockState, generation: number): NxError {
  const by =
    state.holder === undefined ? "it was given back" : `${state.holder.owner} has it (${state.holder.why})`;
  return new NxError("NX_LOCK_LOST", `the lock of generation ${generation} is lost: ${by}`, {
    hint: "look at `node-x status` before you start again",
  });
}
