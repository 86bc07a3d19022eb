/**
 * Who is in the cluster, who wants in, who is to leave, and the layout that counts.
 *
 * Invariant: `layout` is that of the newest committed checkpoint (or, before the first, of the workers that formed the
 * cluster). `target` is the one that the next checkpoint makes valid; until then everything can be as it was.
 */
import { reshape, ringOf } from "../state/ring.ts";
import type { Member, Session } from "./leader-types.ts";
import type { Hello, Layout, Place } from "./messages.ts";

export class Roster {
  readonly members = new Map<string, Member>();
  readonly joiners = new Map<string, Member>();
  leavers: readonly string[] = [];
  layout: Layout | undefined;
  target: Layout | undefined;
  readonly #selfName: string;
  readonly #size: number;
  #joinersWanted = 0;
  /** Where members were when the cluster last ran. */
  #knownPlaces: readonly Place[];

  /** `size`: members that a new cluster waits for. */
  constructor(selfName: string, size: number, layout: Layout | undefined, places: readonly Place[]) {
    this.#selfName = selfName;
    this.#size = size;
    this.layout = layout;
    this.#knownPlaces = places;
  }

  /** Members, and newcomers whose keys are on their way. */
  get participants(): Member[] {
    return [...this.members.values(), ...(this.target === undefined ? [] : this.joiners.values())];
  }

  get sessions(): Session[] {
    return this.participants.flatMap(({ session }) => (session === undefined ? [] : [session]));
  }

  get places(): Place[] {
    return [...this.members.values(), ...this.joiners.values()].map(({ place }) => place);
  }

  /** The initializer first. */
  get names(): string[] {
    const rank = (name: string) => Number(name !== this.#selfName);
    return [...this.members.keys()].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  }

  /** For operators: who is here, where, and with how many keys by step, as of a moment ago. */
  get status() {
    return {
      members: [...this.members.values()].map(({ name, session, place, keys }) => ({
        ...{ name, isConnected: session !== undefined, data: place.data, keys: keys ?? null },
      })),
      joining: [...this.joiners.keys()],
      leaving: [...this.leavers],
      eligible: this.eligible,
      missing: this.missing,
    };
  }

  /** Members that may be asked to leave, each by itself. */
  get eligible(): string[] {
    return this.names.filter((name) => this.canLeave([name]));
  }

  /** Whether these may leave together: others listen for what they listen for. */
  canLeave(names: readonly string[]): boolean {
    const staying = [...this.members.values()].filter(({ name }) => !names.includes(name));
    return names.every((name) => {
      const member = this.members.get(name);
      if (member === undefined || name === this.#selfName || member.hasSources) return false;
      return Object.keys(member.place.sources ?? {}).every((source) =>
        staying.some(({ place }) => place.sources?.[source] !== undefined),
      );
    });
  }

  find(name: string): Member | undefined {
    return this.members.get(name) ?? this.joiners.get(name);
  }

  isMember(name: string): boolean {
    return this.members.has(name) || this.layout?.members.includes(name) === true;
  }

  // --- presence ----------------------------------------------------------------------------------------------------

  /** Why a new cluster does not take this worker. */
  refusal({ name, committed }: Pick<Hello, "name" | "committed">): string | undefined {
    if (committed > 0)
      return `its directory is of an earlier cluster, which had checkpoint ${committed}, and this one is new: start it with --fresh, or the initializer with the directory that it had`;
    const isFull = !this.members.has(name) && this.members.size >= this.#size;
    return isFull ? `the cluster has its ${this.#size} workers: join it instead` : undefined;
  }

  /** Members that the cluster waits for. */
  get missing(): string[] {
    if (this.layout === undefined) {
      const count = this.#size - this.members.size;
      return count > 0 ? [`${count} of ${this.#size} workers`] : [];
    }
    return this.layout.members.filter((name) => this.members.get(name)?.session === undefined);
  }

  /** Whether every member is connected, and of a new cluster as many as it wants. */
  get isComplete(): boolean {
    if (this.layout === undefined && this.members.size < this.#size) return false;
    const names = this.layout?.members ?? [...this.members.keys()];
    return names.every((name) => this.members.get(name)?.session !== undefined);
  }

  /** Where members were that are not connected. */
  get missingPlaces(): Place[] {
    const missing = this.layout === undefined ? [] : this.missing;
    return this.#knownPlaces.filter(({ name }) => missing.includes(name) && name !== this.#selfName);
  }

  /** Everybody is where `places` says. */
  remember(): void {
    this.#knownPlaces = this.places;
  }

  // --- changes -----------------------------------------------------------------------------------------------------

  get isChanging(): boolean {
    return this.target !== undefined || this.leavers.length > 0;
  }

  /** All that were announced are here, or somebody is to leave, and no change is under way yet. */
  get isChangeDue(): boolean {
    const isJoinDue = this.joiners.size > 0 && this.joiners.size >= this.#joinersWanted;
    return this.target === undefined && (isJoinDue || this.leavers.length > 0);
  }

  join(session: Session, hello: Hello): void {
    this.joiners.get(hello.name)?.session?.close();
    this.joiners.set(hello.name, memberOf(session, hello, 0));
    this.#joinersWanted = hello.joining;
  }

  /** The layout of those who are here: the one that counts, or the first of a new cluster. */
  settled(): Layout {
    this.layout ??= { members: this.names, ring: ringOf(this.names) };
    return this.layout;
  }

  /** The layout after the change that is due. */
  changed(): Layout {
    const staying = this.names.filter((name) => !this.leavers.includes(name));
    const members = [...staying, ...[...this.joiners.keys()].sort()];
    return { members, ring: reshape(this.settled().ring, members) };
  }

  /** What was to change did not come to be: newcomers have to ask again. */
  drop(): void {
    if (this.target === undefined) return;
    this.target = undefined;
    this.leavers = [];
    const reason = "the cluster went back to a checkpoint: join again";
    for (const { session } of this.joiners.values()) {
      session?.send({ type: "refused", reason, isFinal: false });
      session?.close();
    }
    this.joiners.clear();
  }

  /** A checkpoint with this layout is committed: newcomers are members, leavers are not. */
  adopt(layout: Layout): void {
    this.layout = layout;
    for (const [name, joiner] of this.joiners)
      if (layout.members.includes(name)) this.members.set(name, joiner);
    for (const [name, { session }] of this.members) {
      if (layout.members.includes(name)) continue;
      session?.send({ type: "goodbye" });
      this.members.delete(name);
    }
    this.joiners.clear();
    this.leavers = [];
    this.target = undefined;
  }
}

export function memberOf(session: Session, hello: Hello, readyEpoch: number): Member {
  const { name, incarnation, life, hasSources, place } = hello;
  return { name, incarnation, life, hasSources, place, keys: undefined, session, readyEpoch };
}
