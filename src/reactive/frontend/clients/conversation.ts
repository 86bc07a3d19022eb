/**
 * One client, from its hello to its end, over whichever carrier.
 *
 * Invariant: nothing but a hello is understood before the token was accepted. A client that sends what is no message, asks for
 * too much at once, or does not read, costs the others nothing: it is told why and closed. What it watched is forgotten with
 * it; it watches again from where it was, here or at another frontend.
 */
import type { Log } from "../../../core/logging/log.ts";
import type { Clock, Timer } from "../../../core/seams/clock.ts";
import { decodeClientMessage, encodeServerMessage } from "../../client-wire/codec.ts";
import { ackOf } from "../../client-wire/from-client.ts";
import {
  type ClientMessage,
  clientProtocols,
  type FailureCode,
  hasTurns,
  limits as protocolLimits,
  type ServerMessage,
} from "../../client-wire/messages.ts";
import { LimitError } from "../../failures.ts";
import { WireError } from "../../wire/bytes.ts";
import type { GuardedStore } from "../access/guarded-store.ts";
import type { Identity, Principals } from "../access/principals.ts";
import type { Outlet, Watcher } from "../watches/watcher.ts";
import type { Watching } from "../watches/watching.ts";
import type { Carrier } from "./carrier.ts";
import { answer, failureOf, type StoreRequest } from "./requests.ts";
import type { Place, Turns } from "./turns.ts";

export interface ConversationLimits {
  requestBytesMax: number;
  /** Also of one answer. */
  outboxBytesMax: number;
  requestsMax: number;
  watchesMax: number;
  watchedKeysMax: number;
}

export interface ConversationShared {
  store: GuardedStore;
  watching: Watching;
  turns: Turns;
  principals: Principals;
  clock: Clock;
  log: Log;
  limits(): ConversationLimits;
  figures: {
    welcomed: number;
    denied: number;
    revoked: number;
    garbled: number;
    failures: Partial<Record<FailureCode, number>>;
  };
}

/** A client says hello within this time. */
const HELLO_MS = 10_000;
/** More waiting bytes than this, and its runs wait for it to read. */
const CONGESTED_BYTES = 256 * 1024;

type WatchRequest = Extract<ClientMessage, { type: "watch" }>;

export class Conversation implements Outlet {
  readonly #shared: ConversationShared;
  readonly #carrier: Carrier;
  readonly #helloTimer: Timer;
  /** Of a client that knows of turns. */
  #place: Place | undefined;
  #identity: Identity | undefined;
  #watcher: Watcher | undefined;
  #requests = 0;
  #isOver = false;

  constructor(shared: ConversationShared, carrier: Carrier) {
    this.#shared = shared;
    this.#carrier = carrier;
    this.#helloTimer = shared.clock.after(HELLO_MS, () => this.#end("protocol", "a client says hello first"));
  }

  // --- what arrives ----------------------------------------------------------------------------------------------

  /** One message; the bytes are only valid during the call. Undefined: a text. */
  receive(bytes: Uint8Array | undefined): void {
    if (this.#isOver) return;
    try {
      if (bytes === undefined) throw new WireError("messages are binary here");
      if (this.#watcher === undefined && bytes.byteLength > protocolLimits.helloBytesMax)
        throw new WireError("a hello is not as long as this");
      const acknowledged = this.#watcher === undefined ? undefined : ackOf(bytes);
      if (acknowledged !== undefined) this.#watcher?.acknowledge(acknowledged);
      else this.#take(decodeClientMessage(bytes));
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#shared.figures.garbled += 1;
      this.#end("protocol", error.message);
    }
  }

  #take(message: ClientMessage): void {
    if (message.type === "hello") this.#greet(message);
    else if (this.#watcher === undefined) throw new WireError("a client says hello first");
    else if (message.type === "ack") this.#watcher.acknowledge(message.at);
    else if (message.type === "ping") this.#say({ type: "pong" });
    else if (message.type === "leave") this.#place?.leave(message.line);
    else if (message.type === "unwatch") {
      this.#watcher.unwatch(message.watch);
      this.#say({ type: "unwatched", request: message.request, watch: message.watch });
    } else void this.#handle(message, this.#watcher);
  }

  #greet({ protocols, token, unackedMax }: Extract<ClientMessage, { type: "hello" }>): void {
    if (this.#watcher !== undefined) throw new WireError("a client says hello once");
    const { principals, watching, turns, store, figures, limits } = this.#shared;
    const protocol = clientProtocols.find((version) => protocols.includes(version));
    if (protocol === undefined)
      throw new WireError(`the protocol is spoken here in version ${clientProtocols.join(" or ")}`);
    const identity = principals.of(token);
    if (identity === undefined) {
      figures.denied += 1;
      this.#end("denied", token === "" ? "a token is wanted" : "the token is not known");
      return;
    }
    this.#helloTimer.cancel();
    figures.welcomed += 1;
    this.#identity = identity;
    this.#watcher = watching.open(this, unackedMax);
    if (hasTurns(protocol)) this.#place = turns.open();
    const { requestBytesMax, watchesMax, watchedKeysMax } = limits();
    this.#say({
      type: "welcome",
      protocol,
      known: store.engine.known,
      principal: identity.name,
      messageBytesMax: requestBytesMax,
      watchesMax,
      watchedKeysMax,
      tables: store.tables.infoFor(identity.name),
    });
  }

  async #handle(message: StoreRequest | WatchRequest, watcher: Watcher): Promise<void> {
    const { store, limits, log } = this.#shared;
    const { name: principal } = this.#identity as Identity;
    this.#requests += 1;
    try {
      const { requestsMax } = limits();
      if (this.#requests > requestsMax)
        throw new LimitError("tooMany", `more than ${requestsMax} requests at once`);
      if (message.type === "watch") await this.#watch(message, watcher, principal);
      else this.#answer(encodeServerMessage(await answer(store, principal, message, this.#place)));
    } catch (error) {
      const failure = failureOf(error);
      if (failure === undefined)
        log.error("a client's request failed", { type: message.type, ...reasonOf(error) });
      this.#fail(
        message.request,
        failure?.code ?? "internal",
        failure?.text ?? "the frontend's log has more",
      );
    } finally {
      this.#requests -= 1;
    }
  }

  async #watch(message: WatchRequest, watcher: Watcher, principal: string): Promise<void> {
    const { store, limits } = this.#shared;
    const { request, watch, at, delayMs, keys, prefixes } = message;
    const { watchesMax, watchedKeysMax } = limits();
    if (!watcher.has(watch) && watcher.size >= watchesMax)
      throw new LimitError("tooMany", `more than ${watchesMax} watches`);
    if (watcher.watchedKeys(watch) + keys.length + prefixes.length > watchedKeysMax)
      throw new LimitError("tooMany", `more than ${watchedKeysMax} watched keys`);
    store.tables.checkKeys(principal, "read", keys);
    for (const prefix of prefixes) store.tables.checkRange(principal, prefix);
    await watcher.watch(watch, { keys, prefixes }, at, delayMs);
    this.#say({ type: "watching", request, watch, at });
    watcher.pump();
  }

  // --- what is sent ----------------------------------------------------------------------------------------------

  get isCongested(): boolean {
    return this.#carrier.waitingBytes > CONGESTED_BYTES;
  }

  send(message: Uint8Array): void {
    if (!this.#isOver) this.#carrier.send(message);
  }

  #say(message: ServerMessage): void {
    this.send(encodeServerMessage(message));
  }

  /** Throws LimitError for one that would not find room whatever the client reads. */
  #answer(message: Uint8Array): void {
    const { outboxBytesMax } = this.#shared.limits();
    if (message.byteLength > outboxBytesMax)
      throw new LimitError(
        "tooLarge",
        `the answer has ${message.byteLength} bytes, ${outboxBytesMax} are allowed`,
      );
    this.send(message);
  }

  #fail(request: number, code: FailureCode, text: string): void {
    const { failures } = this.#shared.figures;
    failures[code] = (failures[code] ?? 0) + 1;
    this.#say({ type: "failed", request, code, text });
  }

  /** The carrier takes bytes again. */
  drained(): void {
    if (!this.isCongested) this.#watcher?.pump();
  }

  // --- the end ---------------------------------------------------------------------------------------------------

  #end(code: FailureCode, text: string): void {
    if (this.#isOver) return;
    this.#shared.log.info(`a client is closed: ${text}`, { client: this.#carrier.remoteAddress, code });
    this.#fail(0, code, text);
    this.closed();
    this.#carrier.close(code, text);
  }

  /** Other tokens count from now on: a client whose own does not is sent away, with all that it watched. */
  recheck(): void {
    const { principals, figures } = this.#shared;
    if (this.#isOver || this.#identity === undefined || principals.isKnown(this.#identity)) return;
    figures.revoked += 1;
    this.#end("denied", `the token of ${this.#identity.name || "everybody"} does not count any more`);
  }

  /** The frontend stops. */
  dismiss(): void {
    this.#end("stopping", "the frontend stops: go to another one");
  }

  /** The carrier is gone, or about to be. */
  closed(): void {
    this.#isOver = true;
    this.#helloTimer.cancel();
    this.#place?.close();
    if (this.#watcher !== undefined) this.#shared.watching.close(this.#watcher);
  }
}

function reasonOf(error: unknown): Record<string, unknown> {
  return error instanceof Error ? { reason: error.message, stack: error.stack } : { reason: String(error) };
}
