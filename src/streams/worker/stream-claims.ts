/**
 * A worker's side of the table of streams (stream-registry.ts): asks the leader before a sender may go on, tells what was
 * fed when it goes.
 *
 * Invariant: a question of an earlier epoch is never answered. One that was lost with the connection to the leader is
 * asked again, behind a report of everything that this worker has fed and holds.
 */
import type { Source } from "../sources/source.ts";
import type { StreamGrants } from "../sources/stream-grants.ts";
import type { ToLeader, ToMember } from "./messages.ts";
import type { StreamGrant, StreamPositions, StreamReport } from "./stream-registry.ts";

export interface StreamClaimsOptions {
  epoch(): number;
  sources(): readonly Source[];
  /** Positions of workers that have left, kept by this one. */
  inherited(): StreamPositions;
  say(message: ToLeader): void;
}

interface Claim {
  source: string;
  stream: string;
  answer(grant: StreamGrant): void;
}

export class StreamClaims {
  readonly #options: StreamClaimsOptions;
  #claims: Claim[] = [];

  constructor(options: StreamClaimsOptions) {
    this.#options = options;
  }

  /** What a source sees of it. */
  of(source: string): StreamGrants {
    return {
      claim: (stream, answer) => {
        this.#claims.push({ source, stream, answer });
        this.#ask({ source, stream });
      },
      left: (report) => {
        this.#options.say({ type: "streams", epoch: this.#options.epoch(), reports: [report] });
      },
    };
  }

  #ask({ source, stream }: Pick<Claim, "source" | "stream">): void {
    this.#options.say({ type: "streamWanted", epoch: this.#options.epoch(), source, stream });
  }

  /** A new epoch: senders come anew. */
  begin(): void {
    this.#claims = [];
  }

  hear({ epoch, source, stream, grant }: Extract<ToMember, { type: "stream" }>): void {
    if (epoch !== this.#options.epoch()) return;
    const claims = this.#claims.filter((claim) => claim.source === source && claim.stream === stream);
    this.#claims = this.#claims.filter((claim) => !claims.includes(claim));
    for (const claim of claims) claim.answer(grant);
  }

  /** The leader is there again: it may have missed anything. */
  resume(): void {
    this.#options.say({ type: "streams", epoch: this.#options.epoch(), reports: this.reports() });
    for (const claim of this.#claims) this.#ask(claim);
  }

  reports(): StreamReport[] {
    const inherited = Object.entries(this.#options.inherited()).flatMap(([source, streams]) =>
      Object.entries(streams).map(([stream, seen]): StreamReport => ({
        ...{ source, stream, seen, acked: seen, isHeld: false },
      })),
    );
    // A stream that this worker holds comes last: what it says of it counts.
    return [...inherited, ...this.#options.sources().flatMap((source) => source.streams?.() ?? [])];
  }
}
