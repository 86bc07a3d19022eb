/**
 * A store and its frontends in one process, for tests of the client that need faults at a given moment: one store of versions
 * (the model of the C one), strict validation, watches that push at once. Every message goes through its bytes. What a real
 * frontend does is tested with real ones (test/e2e/reactive-*.test.ts).
 */
import {
  COMMITTED,
  NOW,
  type ClientMessage,
  type ServerMessage,
} from "../../../src/reactive/client-wire/messages.ts";
import {
  decodeClientMessage,
  decodeServerMessage,
  encodeClientMessage,
  encodeServerMessage,
} from "../../../src/reactive/client-wire/codec.ts";
import { connect, type Client, type ClientOptions } from "../../../src/reactive/client.ts";
import type { MessageSocket, OpenSocket, SocketHandlers } from "../../../src/reactive/client/socket.ts";
import type { ReadVersion } from "../../../src/reactive/shard/query-messages.ts";
import { VersionsModel } from "../../../src/reactive/shard/versions-model.ts";
import { compareBytes } from "../../../src/reactive/wire/bytes.ts";

type Commit = Extract<ClientMessage, { type: "commit" }>["transaction"];
type Settled = Extract<ServerMessage, { type: "settled" }>["outcome"];

/** What the store holds and has decided. */
class ModelStore {
  readonly versions = new VersionsModel();
  timestamp = 0;
  /** By name. */
  readonly outcomes = new Map<string, Settled>();
  /** Of each client: transactions below are settled, and forgotten. */
  readonly #floors = new Map<number, number>();
  commits = 0;

  read(key: Uint8Array, at: number): ReadVersion {
    const view = this.versions.read(key, at);
    if (view === undefined) throw new Error("nothing is collected here");
    return {
      start: view.start,
      end: view.next === 0 ? at : view.next - 1,
      type: view.type,
      value: view.value,
    };
  }

  /** Keys that begin with one of the prefixes. Nothing is ever removed here. */
  under(prefixes: Uint8Array[], at: number): Uint8Array[] {
    if (prefixes.length === 0) return [];
    const isUnder = (key: Uint8Array) =>
      prefixes.some((prefix) => compareBytes(key.subarray(0, prefix.length), prefix) === 0);
    return this.versions.keys(at).filter(isUnder);
  }

  changedSince(key: Uint8Array, at: number): boolean {
    return (this.versions.read(key, this.timestamp)?.start ?? 0) > at;
  }

  /** Undefined: it was never heard of. */
  outcomeOf({ client, number }: Commit["id"]): Settled | undefined {
    if (number < (this.#floors.get(client) ?? 0)) return { kind: "forgotten" };
    return this.outcomes.get(`${client}:${number}`);
  }

  commit({ id, floor, accesses }: Commit): Settled {
    this.#floors.set(id.client, Math.max(floor, this.#floors.get(id.client) ?? 0));
    const name = `${id.client}:${id.number}`;
    const known = this.outcomes.get(name);
    if (known !== undefined) return known;
    const outcome = this.#decide(accesses);
    this.outcomes.set(name, outcome);
    return outcome;
  }

  #decide(accesses: Commit["accesses"]): Settled {
    for (const { key, reads } of accesses)
      for (const { part, version, wasPresent } of reads)
        if (this.versions.changed(key, part, version, wasPresent))
          return { kind: "refused", reason: "stale", key };
    const written = accesses.filter(({ operations }) => operations.byteLength > 0);
    this.timestamp += 1;
    if (written.length === 0) return { kind: "committed", timestamp: this.timestamp };
    this.commits += 1;
    for (const { key, operations } of written) this.versions.write(key, this.timestamp, 0, operations);
    return { kind: "committed", timestamp: this.timestamp };
  }
}

interface Link {
  url: string;
  handlers: SocketHandlers;
  watches: Map<number, { keys: Uint8Array[]; prefixes: Uint8Array[]; at: number }>;
  isOpen: boolean;
  /** Messages on their way, in order. */
  toFrontend: Promise<void>;
  toClient: Promise<void>;
}

export class ModelCluster {
  readonly store = new ModelStore();
  readonly #links = new Set<Link>();
  /** Frontends that do not answer, by their address. */
  readonly down = new Set<string>();
  /** Called before a message is handled; true: the message is lost with its connection, `"after"`: handled, its answer lost. */
  fault: (message: ClientMessage, url: string) => boolean | "after" = () => false;
  /** Another answer than the one that would be given. */
  answer: (message: ClientMessage) => ServerMessage | undefined = () => undefined;
  /** How long each message is on its way. */
  latency: (url: string) => Promise<void> = () => Promise.resolve();
  readonly received: ClientMessage[] = [];
  /** Nothing is pushed while it is true. */
  isQuiet = false;

  readonly open: OpenSocket = (url, handlers): MessageSocket => {
    const [toFrontend, toClient] = [Promise.resolve(), Promise.resolve()];
    const link: Link = { url, handlers, watches: new Map(), isOpen: false, toFrontend, toClient };
    queueMicrotask(() => {
      if (this.down.has(new URL(url).host)) return handlers.onClose("nobody listens");
      link.isOpen = true;
      this.#links.add(link);
      handlers.onOpen();
    });
    return {
      send: (bytes) => {
        const message = decodeClientMessage(bytes.slice());
        link.toFrontend = link.toFrontend
          .then(() => this.latency(url))
          .then(() => this.#receive(link, message));
      },
      close: () => this.#cut(link),
    };
  };

  /** Of the connections that there are. */
  get urls(): string[] {
    return [...this.#links].map(({ url }) => url);
  }

  get watches(): number {
    return [...this.#links].reduce((sum, link) => sum + link.watches.size, 0);
  }

  client(options: ClientOptions = {}): Promise<Client> {
    const seams = { ...options.seams, open: this.open };
    return connect({ frontends: ["one:1", "two:2"], timeoutMs: 5000, ...options, seams });
  }

  /** Ends every connection; clients come back. */
  cutAll(): void {
    for (const link of [...this.#links]) this.#cut(link);
  }

  say(message: ServerMessage): void {
    for (const link of this.#links) this.#send(link, message);
  }

  #cut(link: Link): void {
    const wasOpen = link.isOpen;
    link.isOpen = false;
    this.#links.delete(link);
    if (wasOpen) link.handlers.onClose("cut");
  }

  #send(link: Link, message: ServerMessage): void {
    const bytes = encodeServerMessage(message);
    decodeServerMessage(bytes);
    link.toClient = link.toClient
      .then(() => this.latency(link.url))
      .then(() => {
        if (link.isOpen) link.handlers.onMessage(bytes);
      });
  }

  #receive(link: Link, message: ClientMessage): void {
    if (!link.isOpen) return;
    encodeClientMessage(message);
    this.received.push(message);
    const fault = this.fault(message, link.url);
    if (fault === true) return this.#cut(link);
    const before = this.store.timestamp;
    const answer = this.answer(message) ?? this.#handle(link, message);
    if (fault === "after") this.#cut(link);
    else if (answer !== undefined) this.#send(link, answer);
    if (message.type === "watch" && !this.isQuiet) this.#push(link, message.watch);
    if (this.store.timestamp > before && !this.isQuiet) this.pushAll();
  }

  /** Tells every watch what has changed. */
  pushAll(): void {
    for (const each of this.#links) for (const watch of each.watches.keys()) this.#push(each, watch);
  }

  #handle(link: Link, message: ClientMessage): ServerMessage | undefined {
    const { store } = this;
    switch (message.type) {
      case "hello":
        return {
          ...{ type: "welcome", protocol: 1, known: store.timestamp, principal: "", tables: [] },
          ...{ messageBytesMax: 1 << 20, watchesMax: 1000, watchedKeysMax: 10_000 },
        };
      case "begin":
        return { type: "begun", request: message.request, at: ++store.timestamp };
      case "read": {
        const isCommitted = message.at === COMMITTED;
        const at = message.at === NOW ? ++store.timestamp : message.at;
        const versions = message.keys.map((key) => store.read(key, isCommitted ? store.timestamp : at));
        if (isCommitted) return { type: "values", request: message.request, at: 0, versions };
        return { type: "values", request: message.request, at, versions };
      }
      case "scan": {
        const entries = store
          .under([message.prefix], message.at)
          .filter((key) => compareBytes(key, message.after) > 0)
          .map((key) => ({ key, ...store.read(key, message.at) }));
        const isMore = entries.length > message.countMax;
        const { request, at } = message;
        return { type: "scanned", request, at, isMore, entries: entries.slice(0, message.countMax) };
      }
      case "commit":
        return { type: "settled", request: message.request, outcome: store.commit(message.transaction) };
      case "resolve": {
        const { request } = message;
        if (message.keys.length === 0) return { type: "failed", request, code: "tooMany", text: "no home" };
        const name = `${message.id.client}:${message.id.number}`;
        const outcome = store.outcomeOf(message.id) ?? { kind: "aborted" };
        store.outcomes.set(name, outcome);
        return { type: "settled", request: message.request, outcome };
      }
      case "watch":
        link.watches.set(message.watch, { keys: message.keys, prefixes: message.prefixes, at: message.at });
        return { type: "watching", request: message.request, watch: message.watch, at: message.at };
      case "unwatch":
        link.watches.delete(message.watch);
        return { type: "unwatched", request: message.request, watch: message.watch };
      case "ping":
        return { type: "pong" };
      default:
        return undefined;
    }
  }

  #push(link: Link, watch: number): void {
    const state = link.watches.get(watch);
    if (state === undefined) return;
    const { timestamp: at } = this.store;
    const isChanged = (key: Uint8Array) => this.store.changedSince(key, state.at);
    const changed = state.keys.filter(isChanged);
    // Of what is under prefixes no values are sent.
    if (changed.length === 0 && !this.store.under(state.prefixes, at).some(isChanged)) return;
    const values = changed.sort(compareBytes).map((key) => ({ key, ...this.store.read(key, at) }));
    const since = state.at;
    state.at = at;
    this.#send(link, { type: "runs", at, runs: [{ watch, since, cause: "changed", changes: 1, values }] });
  }
}
