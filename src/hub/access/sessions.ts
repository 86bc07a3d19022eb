/**
 * Who may look: everybody on a hub that listens on loopback without a password, else whoever knows the password.
 *
 * Invariant: passwords and session tokens are compared by digest in constant time; guessing is slowed down for all callers
 * together; a session ends by itself and with the hub. Nothing of it is written to disk.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Clock } from "../../core/seams/clock.ts";
import type { Random } from "../../core/seams/random.ts";

const SESSION_MS = 12 * 3600 * 1000;
const SESSIONS_MAX = 1000;
/** Wrong passwords in one window, by anybody, before all must wait for the next. */
const FAILURES_MAX = 10;
const WINDOW_MS = 60_000;

export interface Session {
  /** What a request that changes something must carry. */
  csrf: string;
}

const digest = (text: string) => createHash("sha256").update(text).digest();

export function isSame(given: string, wanted: Buffer): boolean {
  // Digests have one length, so the comparison tells nothing about the secret's.
  return timingSafeEqual(digest(given), wanted);
}

export class Sessions {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #password: Buffer | undefined;
  readonly #sessions = new Map<string, { endsAtMs: number; csrf: string }>();
  /** Of everybody, where no login is demanded. */
  readonly #open: Session;
  #failures = 0;
  #windowStartMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, random: Random, password: string | undefined) {
    this.#clock = clock;
    this.#random = random;
    this.#password = password === undefined ? undefined : digest(password);
    this.#open = { csrf: this.#token() };
  }

  #token(): string {
    return Buffer.from(this.#random.bytes(32)).toString("base64url");
  }

  get demandsLogin(): boolean {
    return this.#password !== undefined;
  }

  /** True when so many passwords were wrong that none is looked at. */
  get isThrottled(): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#windowStartMs > WINDOW_MS) {
      this.#windowStartMs = nowMs;
      this.#failures = 0;
    }
    return this.#failures >= FAILURES_MAX;
  }

  isPassword(given: string): boolean {
    if (this.#password === undefined || this.isThrottled) return false;
    if (isSame(given, this.#password)) return true;
    this.#failures += 1;
    return false;
  }

  /** The token of a session that begins; undefined for a wrong password. */
  begin(password: string): string | undefined {
    if (!this.isPassword(password)) return undefined;
    this.#forgetEnded();
    if (this.#sessions.size >= SESSIONS_MAX) this.#sessions.delete(this.#sessions.keys().next().value ?? "");
    const token = this.#token();
    const endsAtMs = this.#clock.monotonicMs() + SESSION_MS;
    this.#sessions.set(nameOf(token), { endsAtMs, csrf: this.#token() });
    return token;
  }

  #forgetEnded(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [name, { endsAtMs }] of this.#sessions) if (endsAtMs <= nowMs) this.#sessions.delete(name);
  }

  of(token: string | undefined): Session | undefined {
    if (!this.demandsLogin) return this.#open;
    if (token === undefined) return undefined;
    this.#forgetEnded();
    return this.#sessions.get(nameOf(token));
  }

  end(token: string): void {
    this.#sessions.delete(nameOf(token));
  }
}

/** Tokens are kept by their digest: looking one up takes no longer for a good beginning. */
function nameOf(token: string): string {
  return digest(token).toString("hex");
}
