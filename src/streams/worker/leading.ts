/**
 * What the initializer has on top of any worker: the leader, heard by the worker's own member without a socket, and the news
 * for members that look for the leader where it was before it moved.
 *
 * Invariant: leader and member never hear each other from inside a call, as if there were a socket between them.
 */
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { World } from "../../core/role.ts";
import type { Timer } from "../../core/seams/clock.ts";
import type { StateLog } from "../checkpoint/state-log.ts";
import { jsonFrame } from "../links/json-frames.ts";
import { proofOf } from "../links/secret.ts";
import { hostPort } from "./addresses.ts";
import { newsWords } from "./control-port.ts";
import { Leader } from "./leader.ts";
import type { Session } from "./leader-types.ts";
import type { Member } from "./member.ts";
import type { Hello, Layout, Place } from "./messages.ts";

export interface LeadingOptions {
  world: Pick<World, "clock" | "net">;
  log: Log;
  name: string;
  plan: string;
  secret: string;
  size: number;
  checkpointMs: number;
  stateLog: StateLog;
  member: Member;
  /** Of the control port. */
  control: string;
  hello(): Hello;
  remember(epoch: number, places: readonly Place[]): Promise<void>;
  onFatal(error: Error): void;
}

const NEWS_MS = 1000;

export class Leading {
  readonly leader: Leader;
  readonly #options: LeadingOptions;
  readonly #timer: Timer;

  constructor(options: LeadingOptions, known: { epoch: number; places: readonly Place[] }) {
    const { world, log, plan, name: selfName, size, checkpointMs, stateLog, remember, onFatal } = options;
    const { clock } = world;
    const { committed, prepared } = stateLog;
    this.#options = options;
    this.leader = new Leader(
      {
        ...{ clock, log: log.child("leader"), plan, selfName, size, checkpointMs, remember, onFatal },
        async decide(checkpoint, layout) {
          stateLog.commit(checkpoint, JSON.stringify(layout));
          await stateLog.flush();
        },
        canCheckpoint: () => stateLog.isOpen,
      },
      {
        ...known,
        committed: committed.id,
        prepared: prepared?.id ?? 0,
        layout: committed.layout === "" ? undefined : (JSON.parse(committed.layout) as Layout),
      },
    );
    this.#attach();
    this.#timer = clock.every(NEWS_MS, () => this.#tellMembers());
    this.#tellMembers();
  }

  #attach(): void {
    const { world, member, name, hello, onFatal } = this.#options;
    const { leader } = this;
    const later = (task: () => void) => world.clock.endOfTurn(task);
    const session: Session = { send: (message) => later(() => member.hear(message)), close: () => {} };
    member.attach((message) => later(() => leader.hear(session, name, message)));
    const refusal = leader.greet(session, hello());
    if (refusal !== undefined) onFatal(new NxError("NX_STREAM_REFUSED", refusal));
  }

  #tellMembers(): void {
    const { world, secret, control } = this.#options;
    const news = jsonFrame({ type: "leaderAt", control, proof: proofOf(secret, newsWords(control)) });
    for (const place of this.leader.missingPlaces) {
      world.net
        .connect<undefined>({
          ...hostPort(place.control),
          handlers: {
            open: (socket) => {
              socket.write(news);
              socket.end();
            },
            data: () => {},
            drain: () => {},
            close: () => {},
          },
        })
        .catch(() => undefined);
    }
  }

  close(): void {
    this.leader.close();
    this.#timer.cancel();
  }
}
