/**
 * How a replica without promises on its disk finds its place: the group is new, or this replica lost its disk.
 *
 * A blank replica asks the others who they are. When replica 0 has heard from all that they are blank, it writes the
 * group down and founds it with exactly these lives of these processes. Otherwise the group exists, and a blank replica
 * is a member that forgot what it said: it takes a new incarnation, tells enough members of it that every quorum it may
 * have been part of knows one of them, and only then fetches a log from a primary that is not older than any of these.
 *
 * Invariant: a replica votes and acknowledges only with promises on its disk. Messages that its earlier self sent, and
 * that still travel, are dropped by those who know its new incarnation; without that, a log it once showed could decide
 * a view change after it had acknowledged more.
 */
import type { ReplicaState } from "./state.ts";
import type { Envelope, PeerMessage } from "./types.ts";

type Of<Type extends PeerMessage["type"]> = Extract<PeerMessage, { type: Type }>;

interface Answer {
  nonce: number;
  isMember: boolean;
  incarnation: number;
  group: number;
}

export class Membership {
  readonly #state: ReplicaState;
  readonly #becomeMember: () => void;
  readonly #answers = new Map<number, Answer>();
  /** While recovering: members that know the new incarnation, with their views. */
  readonly #witnesses = new Map<number, number>();
  #isFounding = false;
  #isFinishing = false;
  #askAtMs = 0;

  constructor(state: ReplicaState, becomeMember: () => void) {
    this.#state = state;
    this.#becomeMember = becomeMember;
  }

  get deadlineMs(): number {
    return this.#state.isMember ? Number.POSITIVE_INFINITY : this.#askAtMs;
  }

  get trouble(): string | undefined {
    const { phase, others } = this.#state;
    if (phase === "recovering") {
      const missing = this.#witnessesNeeded - this.#witnesses.size;
      return missing > 0
        ? `its data was lost: it waits for ${missing} more members before it recovers`
        : "its data was lost: it fetches everything from the primary";
    }
    if (phase !== "blank") return undefined;
    const silent = others.filter((index) => !this.#answers.has(index));
    return silent.length === 0
      ? "it has no data: the group is being founded"
      : `it has no data and waits for replica ${silent.join(", ")}: a new group needs all, a lost disk most of them`;
  }

  /** Members needed so that one of them is in every quorum that this replica may have been part of. */
  get #witnessesNeeded(): number {
    return this.#state.settings.replicas - this.#state.quorum + 1;
  }

  get #requiredView(): number {
    return Math.max(0, ...this.#witnesses.values());
  }

  start(): void {
    if (this.#state.settings.replicas === 1) this.#found([this.#state.life]);
    else this.onWake();
  }

  /** A blank or recovering replica asks again. */
  onWake(): void {
    const state = this.#state;
    if (state.isMember || state.nowMs < this.#askAtMs) return;
    this.#askAtMs = state.nowMs + state.settings.retryMs;
    if (state.phase === "blank") state.broadcast({ type: "hello", nonce: state.life });
    else if (this.#witnesses.size < this.#witnessesNeeded) {
      state.broadcast({ type: "recover", nonce: state.life });
    } else state.broadcast({ type: "getView", nonce: state.life });
  }

  // --- answers of this replica -----------------------------------------------------------------------------------

  onHello({ from }: Envelope, { nonce }: Of<"hello">): void {
    const state = this.#state;
    // A recovering replica can neither vouch for others nor pass for one that knows nothing.
    if (state.phase === "recovering") return;
    const { isMember } = state;
    if (isMember && state.founders[from] === nonce) {
      state.send(from, { type: "form", nonces: state.founders });
      return;
    }
    const incarnation = state.incarnations[from] as number;
    state.send(from, { type: "helloReply", echo: nonce, nonce: state.life, isMember, incarnation });
  }

  /** The envelope's incarnation has been taken over already (replica.ts); it is answered once that is durable. */
  onRecover({ from }: Envelope, { nonce }: Of<"recover">): void {
    const state = this.#state;
    if (!state.isMember) return;
    state.promise(() => state.send(from, { type: "recoverOk", nonce, incarnations: state.incarnations }));
  }

  // --- answers of others -----------------------------------------------------------------------------------------

  onHelloReply({ from, group }: Envelope, { echo, ...answer }: Of<"helloReply">): void {
    const state = this.#state;
    if (state.phase !== "blank" || echo !== state.life || this.#isFounding) return;
    this.#answers.set(from, { ...answer, group });
    const answers = [...this.#answers.values()];
    const members = answers.filter(({ isMember }) => isMember);
    if (members.length >= this.#witnessesNeeded) this.#recover(members);
    else if (state.self === 0 && members.length === 0 && answers.length === state.others.length) {
      this.#found(Array.from({ length: state.settings.replicas }, (_, index) => this.#lifeOf(index)));
    }
  }

  #lifeOf(index: number): number {
    return index === this.#state.self ? this.#state.life : (this.#answers.get(index)?.nonce ?? 0);
  }

  #found(founders: number[]): void {
    const state = this.#state;
    this.#isFounding = true;
    state.founders = founders;
    state.note("all replicas are blank: a new group is founded");
    this.#join(1 + state.random.integer(2 ** 48 - 1), () =>
      state.broadcast({ type: "form", nonces: founders }),
    );
  }

  onForm({ group }: Envelope, { nonces }: Of<"form">): void {
    const state = this.#state;
    const isOurs = state.phase === "blank" && nonces[state.self] === state.life && !this.#isFounding;
    if (!isOurs) return;
    this.#isFounding = true;
    this.#join(group, () => {});
  }

  /** The group's first moment: view 0, an empty log. */
  #join(group: number, then: () => void): void {
    const state = this.#state;
    state.group = group;
    state.incarnations = state.incarnations.map(() => 1);
    state.promise(() => {
      state.phase = "normal";
      state.electionAtMs = state.nowMs + state.settings.electionMaxMs;
      then();
      this.#becomeMember();
    });
  }

  #recover(members: Answer[]): void {
    const state = this.#state;
    state.group = (members[0] as Answer).group;
    state.incarnations[state.self] = 1 + Math.max(...members.map(({ incarnation }) => incarnation));
    state.phase = "recovering";
    state.note(
      `the group knows this replica, its disk does not: it recovers as incarnation ${state.incarnation}`,
      "warn",
    );
    this.#askAtMs = 0;
    this.onWake();
  }

  onRecoverOk({ from, view }: Envelope, { nonce, incarnations }: Of<"recoverOk">): void {
    const state = this.#state;
    if (state.phase !== "recovering" || nonce !== state.life) return;
    state.learnIncarnations(incarnations);
    this.#witnesses.set(from, view);
    if (this.#witnesses.size === this.#witnessesNeeded) {
      this.#askAtMs = 0;
      this.onWake();
    }
  }

  /** Whether a recovering replica may build on this view: it was asked for, and it is not older than any witness's. */
  mayJoin(view: number, nonce: number): boolean {
    const isWitnessed = this.#witnesses.size >= this.#witnessesNeeded && !this.#isFinishing;
    return isWitnessed && nonce === this.#state.life && view >= this.#requiredView;
  }

  /** The log of the present view is on the disk: from here on this replica is a member again. */
  finish(): void {
    const state = this.#state;
    this.#isFinishing = true;
    state.promise(() => {
      state.phase = "normal";
      state.promisedUntilMs = state.nowMs + state.settings.leaseMs;
      state.note(`recovered up to entry ${state.log.op} in view ${state.view}`);
      this.#becomeMember();
    });
  }
}
