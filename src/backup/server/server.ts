/**
 * What every WalB server is: a listener, the opening of each connection, a table of protocols, limits and counts.
 *
 *   client: text clientId, text protocol, u32 version = 1      server: text serverId, text "ok" or an error, then closes
 *
 * Invariant: a protocol that fails tells the client why, while it can still be told; the connection ends after every
 * protocol; at most `foregroundMax` long jobs run at once. Who does not say in time what is wanted is closed.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { NxError } from "../../core/errors.ts";
import type { Log } from "../../core/logging/log.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { KeepAlive, Listener, Net, TlsMaterial } from "../../core/seams/net.ts";
import { Conversation, type ConversationOptions } from "../wire/conversation.ts";
import { SECURE_PROTOCOL } from "../wire/secured-net.ts";
import { type Reader, Writer } from "../wire/serial.ts";

const PROTOCOL_VERSION = 1;
const PLAIN_REFUSED = "plain connections are refused here";
const TOKEN_BYTES_MAX = 4096;
/** `0x626c6177`, the four letters of the original's name. */
const ACK = 0x626c6177;

/** In a time that does not depend on what is the same. */
function isSameText(a: string, b: string): boolean {
  const hashOf = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hashOf(a), hashOf(b));
}

export const ack = (writer = new Writer()): Writer => writer.u32(ACK);

/** Throws unless the peer acknowledges. */
export async function readAck(reader: Reader): Promise<void> {
  const value = await reader.u32();
  if (value !== ACK)
    throw new NxError(
      "NX_DATA_CORRUPT",
      `the peer answered 0x${value.toString(16)} instead of an acknowledgement`,
    );
}

/** An answer that is not "ok": told to the client word for word. */
export class Refusal extends Error {}

/** One run of a protocol. */
export class ServerCall {
  readonly clientId: string;
  readonly protocol: string;
  readonly conversation: Conversation;
  /** An answer was given: a failure cannot be told any more, the connection just ends. */
  isAnswered = false;

  constructor(clientId: string, protocol: string, conversation: Conversation) {
    this.clientId = clientId;
    this.protocol = protocol;
    this.conversation = conversation;
  }

  get reader(): Reader {
    return this.conversation.reader;
  }

  send(writer: Writer | Uint8Array): Promise<void> {
    return this.conversation.send(writer);
  }

  /** The first answer: `ok`, `accept` or a word of the protocol. */
  async answer(word: string): Promise<void> {
    this.isAnswered = true;
    await this.send(new Writer().text(word));
  }
}

export type Protocol = (call: ServerCall) => Promise<void>;

/** A listener with TLS beside the plain one (wire/secured-net.ts). */
export interface SecureOptions {
  port: number;
  tls: TlsMaterial;
  /** Demanded of every connection there. */
  token: string | undefined;
  /** The plain port only tells where this one is. */
  refusesPlain: boolean;
}

export interface ServerOptions {
  net: Net;
  clock: Clock;
  log: Log;
  host: string;
  port: number;
  /** The originals speak plain TCP only. */
  tls: TlsMaterial | undefined;
  secure?: SecureOptions | undefined;
  keepAlive?: KeepAlive | undefined;
  nodeId: string;
  connectionsMax: number;
  foregroundMax: number;
  /** Of a silent peer. */
  timeoutMs: number;
  protocols: Record<string, Protocol>;
}

/** Runs and mean times of protocols, read and reset by `get handler-stat`. */
export class HandlerStatistics {
  #counts = new Map<string, number>();
  #times = new Map<string, { sum: number; count: number }>();
  #gets = new Map<string, number>();

  add(protocol: string, clientId: string, seconds: number): void {
    const key = `${protocol}\t${clientId}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    const time = this.#times.get(protocol) ?? { sum: 0, count: 0 };
    this.#times.set(protocol, { sum: time.sum + seconds, count: time.count + 1 });
  }

  addGet(target: string, clientId: string): void {
    const key = `${target}\t${clientId}`;
    this.#gets.set(key, (this.#gets.get(key) ?? 0) + 1);
  }

  take(): string[] {
    const lines = [
      ...[...this.#counts].map(([key, count]) => `PROTOCOL_COUNT\t${key}\t${count}`),
      ...[...this.#times].map(
        ([key, { sum, count }]) => `PROTOCOL_LATENCY\t${key}\t${(sum / count).toFixed(6)}`,
      ),
      ...[...this.#gets].map(([key, count]) => `GET_COUNT\t${key}\t${count}`),
    ];
    this.#counts.clear();
    this.#times.clear();
    this.#gets.clear();
    return lines;
  }
}

export class WalbServer {
  readonly statistics = new HandlerStatistics();
  readonly #options: ServerOptions;
  readonly #open = new Set<Conversation>();
  readonly #running = new Set<Promise<void>>();
  #listener: Listener | undefined;
  #secureListener: Listener | undefined;
  #foreground = 0;
  #refused = 0;
  #served = 0;

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  async listen(): Promise<number> {
    const { port, tls, secure, protocols, log } = this.#options;
    if (secure !== undefined) this.#secureListener = await this.#listen(secure.port, secure.tls, true);
    this.#listener = await this.#listen(port, tls, false);
    if (Object.hasOwn(protocols, "exec"))
      log.warn("programs are run here for everybody who reaches the port (allowsExec)", { port });
    return this.#listener.port;
  }

  /** The port with TLS, if there is one. */
  get securePort(): number | undefined {
    return this.#secureListener?.port;
  }

  #listen(port: number, tls: TlsMaterial | undefined, isSecure: boolean): Promise<Listener> {
    const { net, clock, host, timeoutMs, keepAlive } = this.#options;
    return net.listen({
      host,
      port,
      ...(keepAlive !== undefined && { keepAlive }),
      ...(tls !== undefined && { tls }),
      handlers: {
        open: (socket) => {
          const conversation = new Conversation({ clock, timeoutMs });
          const handlers = conversation.handlers();
          handlers.open(socket);
          this.#accept(conversation, isSecure);
          return { conversation, handlers };
        },
        data: (socket, { conversation, handlers }, chunk) => handlers.data(socket, conversation, chunk),
        drain: (socket, { conversation, handlers }) => handlers.drain(socket, conversation),
        close: (socket, { conversation, handlers }, error) => handlers.close(socket, conversation, error),
      },
    });
  }

  #accept(conversation: Conversation, isSecure: boolean): void {
    if (this.#open.size >= this.#options.connectionsMax) {
      this.#refused += 1;
      conversation.terminate("too many connections");
      return;
    }
    this.#open.add(conversation);
    const running = this.#serve(conversation, isSecure).finally(() => {
      this.#open.delete(conversation);
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  async #serve(conversation: Conversation, isSecure: boolean): Promise<void> {
    const { clock, log, timeoutMs } = this.#options;
    const startedMs = clock.monotonicMs();
    let call: ServerCall | undefined;
    // Byte by byte it could last for hours, and take one of the few places.
    const deadline = clock.after(timeoutMs, () => conversation.terminate("the opening took too long"));
    try {
      if (isSecure && !(await this.#hasToken(conversation))) return;
      call = await this.#opening(conversation, isSecure);
      deadline.cancel();
      if (call === undefined) return;
      await (this.#options.protocols[call.protocol] as Protocol)(call);
      this.#served += 1;
      this.statistics.add(call.protocol, call.clientId, (clock.monotonicMs() - startedMs) / 1000);
    } catch (error) {
      const text = (error as Error).message;
      const fields = { protocol: call?.protocol, client: call?.clientId, remote: conversation.remoteAddress };
      if (error instanceof Refusal) log.info(`refused: ${text}`, fields);
      else log.warn(`failed: ${text}`, fields);
      if (call?.isAnswered === false && !conversation.isClosed)
        await conversation.send(new Writer().text(text)).catch(() => undefined);
    } finally {
      deadline.cancel();
      conversation.end();
    }
  }

  /** Tells nothing to who does not have it. */
  async #hasToken(conversation: Conversation): Promise<boolean> {
    const wanted = this.#options.secure?.token ?? "";
    const got = await conversation.reader.text(TOKEN_BYTES_MAX);
    if (isSameText(got, wanted)) return true;
    this.#options.log.warn("refused: another token", { remote: conversation.remoteAddress });
    return false;
  }

  async #opening(conversation: Conversation, isSecure: boolean): Promise<ServerCall | undefined> {
    const { reader } = conversation;
    const clientId = await reader.text(256);
    const protocol = await reader.text(256);
    const version = await reader.u32();
    const { nodeId, protocols, secure } = this.#options;
    if (protocol === SECURE_PROTOCOL && this.securePort !== undefined) {
      await conversation.send(new Writer().text(nodeId).text("ok").u16(this.securePort));
      return undefined;
    }
    const refuse = async (text: string) => {
      await conversation.send(new Writer().text(nodeId).text(text));
      return undefined;
    };
    if (version !== PROTOCOL_VERSION)
      return await refuse(`run1stNegotiateAsServer:version differ c/s:${version}:${PROTOCOL_VERSION}`);
    if (secure?.refusesPlain === true && !isSecure) return await refuse(`${PLAIN_REFUSED}:${clientId}`);
    if (!Object.hasOwn(protocols, protocol))
      return await refuse(`findServerHandler:bad protocol:${protocol}:${clientId}`);
    await conversation.send(new Writer().text(nodeId).text("ok"));
    return new ServerCall(clientId, protocol, conversation);
  }

  /** Reserves the place of a long job, unless too many run; the result gives it back. */
  reserveForeground(name: string): () => void {
    if (this.#foreground >= this.#options.foregroundMax)
      throw new Refusal(`${name}:exceeds max foreground tasks:${this.#options.foregroundMax}`);
    this.#foreground += 1;
    return () => {
      this.#foreground -= 1;
    };
  }

  /** Runs a long job, unless too many run. */
  async foreground<Result>(name: string, job: () => Promise<Result>): Promise<Result> {
    const release = this.reserveForeground(name);
    try {
      return await job();
    } finally {
      release();
    }
  }

  get figures() {
    return {
      connections: this.#open.size,
      foreground: this.#foreground,
      refused: this.#refused,
      served: this.#served,
    };
  }

  stopListening(): void {
    this.#listener?.stop();
    this.#listener = undefined;
    this.#secureListener?.stop();
  }

  /** Resolves when nothing runs any more; connections that are still open are cut. */
  async close(): Promise<void> {
    this.stopListening();
    for (const conversation of this.#open) conversation.terminate("the server stops");
    await Promise.all(this.#running);
  }
}

/** Opens a connection to a server and asks for a protocol. Throws NX_CONNECT_FAILED with its words when it refuses. */
export async function openProtocol(
  net: Net,
  address: { host: string; port: number },
  ids: { clientId: string; protocol: string },
  options: ConversationOptions,
): Promise<{ conversation: Conversation; serverId: string }> {
  const conversation = await Conversation.connect(net, address.host, address.port, options);
  try {
    await conversation.send(new Writer().text(ids.clientId).text(ids.protocol).u32(PROTOCOL_VERSION));
    const serverId = await conversation.reader.text();
    const answer = await conversation.reader.text();
    if (answer !== "ok")
      throw new NxError("NX_CONNECT_FAILED", `${serverId} refuses ${ids.protocol}: ${firstLine(answer)}`, {
        hint: answer.startsWith(PLAIN_REFUSED)
          ? "go there encrypted: with NODE_X_WALB_CA and NODE_X_WALB_TOKEN_FILE, or the key peers of a server"
          : undefined,
      });
    return { conversation, serverId };
  } catch (error) {
    conversation.terminate("the opening failed");
    throw error;
  }
}

/** Answers carry addresses of the original's stack behind their first line. */
export const firstLine = (text: string): string => text.split("\n", 1)[0] ?? "";
