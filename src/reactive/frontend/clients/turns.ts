/**
 * Whose turn it is where many transactions change the same keys: one that was refused because somebody was faster asks for its keys in
 * turn, and commits before anybody who asked later.
 *
 * It stands in line for all its keys at once, and it is its turn when it is the first on each of them; it holds none while it
 * waits, so no two wait for each other. Who has its turn and does not come back loses it, and so does everything of that client: one that is frozen
 * costs the others that time once. Commits that are not in line, and could be faster than the one whose turn it is, wait until they no longer
 * are; operations that read nothing never wait.
 *
 * Invariant: a turn decides when a transaction is tried, never whether it is committed: that is the engine's. Clients of other frontends, and
 * those without turns (HTTP, version 1 of the protocol), may still be faster. Everything here is gone after a crash, and asked for again.
 */
import type { Clock, Timer } from "../../../core/seams/clock.ts";
import type { CommitResult } from "../../engines/engine.ts";
import type { Refusal } from "../../shard/commands.ts";
import { type Access, idText, type TransactionId } from "../../shard/transaction.ts";
import { nameOf } from "../../wire/key-name.ts";

/** In which a client whose turn it is hands in its commit. */
const LEASE_MS = 2000;
/** A commit that is not in line waits no longer for those that are. */
const POLITE_MS = 2000;
/** In line and at their turn, of one client. Those beyond go without. */
const MEMBERS_MAX = 1000;

/** Refusals for which it is worth to come again. */
const fasterOthers: ReadonlySet<Refusal> = new Set(["prepared", "stale", "overwritten"]);

interface Member {
  readonly place: Place;
  readonly line: number;
  readonly number: number;
  keys: readonly string[];
  /** The commit that is expected of it. */
  id: string;
  /** Waits; called when it is its turn, or there will be none. */
  go: (() => void) | undefined;
  lease: Timer | undefined;
  isOver: boolean;
}

interface Line {
  /** In the order in which they first came. */
  members: Member[];
  /** Whose turn it is. */
  holder: Member | undefined;
  /** The largest timestamp at which its key is known to have been changed. */
  newest: number;
  /** Commits that are not in line; called when something has changed. */
  polite: (() => void)[];
}

export interface TurnFigures {
  /** In line or at their turn now. */
  members: number;
  given: number;
  /** Turns that nobody used. */
  lapsed: number;
}

export class Turns {
  readonly #clock: Clock;
  readonly #lines = new Map<string, Line>();
  readonly figures: TurnFigures = { members: 0, given: 0, lapsed: 0 };
  #lastNumber = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** For one client, until it is closed. */
  open(): Place {
    return new Place(this);
  }

  /** Resolves when it is this transaction's turn, or none will be given. */
  async wait(place: Place, line: number, id: TransactionId, keys: readonly Uint8Array[]): Promise<void> {
    const names = [...new Set(keys.map(nameOf))];
    const known = place.members.get(line);
    if (known === undefined && place.members.size >= MEMBERS_MAX) return;
    const member = known ?? this.#newMember(place, line);
    member.id = idText(id);
    member.lease?.cancel();
    // Two questions for one turn: the first is answered without.
    member.go?.();
    member.go = undefined;
    const isHeld = member.keys.length > 0 && names.every((name) => member.keys.includes(name));
    if (isHeld && this.#isAtTurn(member)) return;
    this.#stepOut(member);
    member.keys = [...new Set([...member.keys, ...names])];
    for (const key of member.keys) this.#stepIn(member, key);
    const turn = new Promise<void>((resolve) => (member.go = resolve));
    this.#giveNext(member.keys);
    await turn;
  }

  /** The client was told that it is its turn. */
  told(place: Place, line: number): void {
    const member = place.members.get(line);
    if (member !== undefined && this.#isAtTurn(member)) this.#expect(member);
  }

  async commit(
    place: Place,
    { id, accesses }: { id: TransactionId; accesses: readonly Access[] },
    commit: () => Promise<CommitResult>,
  ): Promise<CommitResult> {
    if (this.#lines.size === 0) return commit();
    const name = idText(id);
    const member = [...place.members.values()].find((each) => each.id === name);
    if (member === undefined) await this.#beAsPoliteAsNeeded(accesses);
    else member.lease?.cancel();
    let result: CommitResult | undefined;
    try {
      result = await commit();
      if (result.kind === "committed") this.#note(accesses, result.timestamp);
      return result;
    } finally {
      if (member !== undefined) {
        const isTriedAgain = result?.kind === "refused" && fasterOthers.has(result.reason);
        if (isTriedAgain && !member.isOver) this.#expect(member);
        else this.end(member);
      }
    }
  }

  end(member: Member): void {
    if (member.isOver) return;
    member.isOver = true;
    member.lease?.cancel();
    member.place.members.delete(member.line);
    this.figures.members -= 1;
    this.#stepOut(member);
    member.go?.();
    this.#giveNext(member.keys);
  }

  /** First those that wait, so that none of them is given a turn. */
  endAll({ members }: Place): void {
    const all = [...members.values()];
    for (const member of all) if (member.go !== undefined) this.end(member);
    for (const member of all) this.end(member);
  }

  #newMember(place: Place, line: number): Member {
    this.#lastNumber += 1;
    const member: Member = {
      ...{ place, line, number: this.#lastNumber, keys: [], id: "" },
      ...{ go: undefined, lease: undefined, isOver: false },
    };
    place.members.set(line, member);
    this.figures.members += 1;
    return member;
  }

  /** It comes with its commit, or asks again, or somebody else goes. */
  #expect(member: Member): void {
    member.lease?.cancel();
    member.lease = this.#clock.after(LEASE_MS, () => {
      this.figures.lapsed += 1;
      this.endAll(member.place);
    });
  }

  #isAtTurn(member: Member): boolean {
    return member.keys.every((key) => this.#lines.get(key)?.holder === member);
  }

  #mayGo(member: Member): boolean {
    return member.keys.every((key) => {
      const line = this.#lines.get(key);
      return line?.holder === undefined && line?.members[0] === member;
    });
  }

  #give(member: Member): void {
    this.figures.given += 1;
    for (const key of member.keys) (this.#lines.get(key) as Line).holder = member;
    member.go?.();
    member.go = undefined;
  }

  #stepIn(member: Member, key: string): void {
    const line = this.#lines.get(key) ?? { members: [], holder: undefined, newest: 0, polite: [] };
    this.#lines.set(key, line);
    const place = line.members.findIndex(({ number }) => number > member.number);
    line.members.splice(place < 0 ? line.members.length : place, 0, member);
  }

  #stepOut(member: Member): void {
    for (const key of member.keys) {
      const line = this.#lines.get(key);
      if (line === undefined) continue;
      line.members = line.members.filter((each) => each !== member);
      if (line.holder === member) line.holder = undefined;
      if (line.members.length > 0) continue;
      this.#lines.delete(key);
      wake(line);
    }
  }

  #giveNext(keys: readonly string[]): void {
    for (const key of keys) {
      const first = this.#lines.get(key)?.members[0];
      if (first?.go !== undefined && this.#mayGo(first)) this.#give(first);
    }
  }

  #note(accesses: readonly Access[], timestamp: number): void {
    for (const { key, operations } of accesses) {
      const line = operations.byteLength === 0 ? undefined : this.#lines.get(nameOf(key));
      if (line === undefined || timestamp <= line.newest) continue;
      line.newest = timestamp;
      wake(line);
    }
  }

  /** What has read an older version than there is will be refused: it is in nobody's way. */
  async #beAsPoliteAsNeeded(accesses: readonly Access[]): Promise<void> {
    const endMs = this.#clock.monotonicMs() + POLITE_MS;
    for (const { key, reads } of accesses) {
      const version = reads.reduce((least, read) => Math.min(least, read.version), Number.POSITIVE_INFINITY);
      for (;;) {
        const line = reads.length === 0 ? undefined : this.#lines.get(nameOf(key));
        const leftMs = endMs - this.#clock.monotonicMs();
        if (line === undefined || version < line.newest || leftMs <= 0) break;
        await new Promise<void>((resolve) => {
          const timer = this.#clock.after(leftMs, resolve);
          line.polite.push(() => {
            timer.cancel();
            resolve();
          });
        });
      }
    }
  }
}

function wake(line: Line): void {
  const waiting = line.polite;
  line.polite = [];
  for (const go of waiting) go();
}

/** What one client has in line. */
export class Place {
  readonly members = new Map<number, Member>();
  readonly #turns: Turns;

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  /** Reads when it is the turn of what is to be committed as `id`. `line`: the same for all attempts of one transaction. */
  async read<Answer>(
    { line, id, keys }: { line: number; id: TransactionId; keys: readonly Uint8Array[] },
    read: () => Promise<Answer>,
  ): Promise<Answer> {
    await this.#turns.wait(this, line, id, keys);
    try {
      const answer = await read();
      this.#turns.told(this, line);
      return answer;
    } catch (error) {
      this.leave(line);
      throw error;
    }
  }

  commit(
    transaction: { id: TransactionId; accesses: readonly Access[] },
    commit: () => Promise<CommitResult>,
  ): Promise<CommitResult> {
    return this.#turns.commit(this, transaction, commit);
  }

  leave(line: number): void {
    const member = this.members.get(line);
    if (member !== undefined) this.#turns.end(member);
  }

  close(): void {
    this.#turns.endAll(this);
  }
}
