/**
 * The Redis protocol as a role uses it: sessions over the C engine, with the administrative commands answered
 * here.
 *
 * Use: `open` per socket, `receive` per chunk, then write `engine.replies()` and obey the flags; `resume`
 * after `More` once the outbox drained; `close` when the socket is gone. An admin command is answered within
 * the call, so the effects of a transaction are complete whenever `receive` or `resume` returns, and may then
 * be logged as one.
 */
import { type RespConnection, type RespEngine, RespFlag } from "../../../native/resp.ts";
import { clientCommand } from "./client.ts";
import { commandCommand } from "./command.ts";
import { configCommand } from "./config.ts";
import type { AdminCall, RespHost, RespSession } from "./host.ts";
import { authCommand, helloCommand, resetCommand } from "./identity.ts";
import { infoCommand } from "./info.ts";
import { latencyCommand } from "./latency.ts";
import { ReplyWriter } from "./reply.ts";

export type RespHostOptions = Omit<RespHost, "sessions" | "kill">;

export class RespService {
  readonly engine: RespEngine;
  readonly #host: RespHost;
  readonly #sessions = new Map<number, RespSession>();
  readonly #byConnection = new Map<RespConnection, RespSession>();
  #lastId = 0;
  /** Sessions that CLIENT KILL chose while another's commands ran. */
  #killed = new Set<RespSession>();
  readonly #closeOther: (session: RespSession) => void;

  /** `closeOther` must close the socket of a session that is not the one being served. */
  constructor(options: RespHostOptions, closeOther: (session: RespSession) => void) {
    this.engine = options.engine;
    this.#closeOther = closeOther;
    this.#host = {
      ...options,
      sessions: () => this.#sessions.values(),
      kill: (session) => this.#killed.add(session),
    };
  }

  get sessions(): ReadonlyMap<number, RespSession> {
    return this.#sessions;
  }

  open(address: string, localAddress: string): RespSession {
    const now = this.#host.clock.nowMs();
    const session: RespSession = {
      id: ++this.#lastId,
      connection: this.engine.connect(),
      address,
      localAddress,
      openedAtMs: now,
      activeAtMs: now,
      name: "",
      authenticated: this.#host.password() === undefined,
      outputBytes: () => 0,
    };
    this.#sessions.set(session.id, session);
    this.#byConnection.set(session.connection, session);
    return session;
  }

  /** Call exactly once, when the socket is gone. */
  close(session: RespSession): void {
    this.#sessions.delete(session.id);
    this.#byConnection.delete(session.connection);
    this.#killed.delete(session);
    this.engine.disconnect(session.connection);
  }

  /** Executes what the chunk completes. Returns RespFlag.Close and RespFlag.More, or-ed. */
  receive(session: RespSession, chunk: Uint8Array): number {
    const now = this.#host.clock.nowMs();
    session.activeAtMs = now;
    return this.#answer(session, this.engine.feed(session.connection, chunk, now), now);
  }

  /** A session that waited for a key and was served: `resume` it. Undefined when there is none. */
  woken(): RespSession | undefined {
    const connection = this.engine.woken();
    return connection === undefined ? undefined : this.#byConnection.get(connection);
  }

  /** Goes on after RespFlag.More, or when it was woken. */
  resume(session: RespSession): number {
    const now = this.#host.clock.nowMs();
    return this.#answer(session, this.engine.resume(session.connection, now), now);
  }

  #answer(session: RespSession, flags: number, now: number): number {
    while ((flags & RespFlag.Admin) !== 0) {
      const reply = answerAdmin(this.#host, session);
      flags = this.engine.answerAdmin(session.connection, reply, now);
    }
    if (this.#killed.size > 0) {
      if (this.#killed.delete(session)) flags |= RespFlag.Close;
      const others = this.#killed;
      this.#killed = new Set();
      for (const other of others) this.#closeOther(other);
    }
    return flags;
  }
}

/**
 * The reply to the admin command that waits in the engine. It must not throw: the engine waits for an answer.
 */
function answerAdmin(host: RespHost, session: RespSession): Uint8Array {
  const call: AdminCall = { host, session, words: host.engine.adminArguments() };
  const reply = new ReplyWriter(host.engine.adminProtocol);
  const name = call.words[0]?.toString("latin1").toLowerCase() ?? "";
  try {
    const command = commands[name];
    if (command === undefined) reply.error(`ERR '${name}' is not offered by this server`);
    else command(call, reply);
  } catch (error) {
    return new ReplyWriter(reply.protocol).error(`ERR ${name} failed: ${(error as Error).message}`).bytes();
  }
  return reply.bytes();
}

const commands: Readonly<Record<string, (call: AdminCall, reply: ReplyWriter) => void>> = {
  auth: authCommand,
  bgrewriteaof: ({ host }, reply) => {
    const refusal = host.rewriteLog();
    if (refusal !== undefined) reply.error(refusal);
    else reply.status("Background append only file rewriting started");
  },
  client: clientCommand,
  command: commandCommand,
  config: configCommand,
  hello: helloCommand,
  info: infoCommand,
  latency: latencyCommand,
  // MEMORY USAGE is answered in C; what is left is HELP.
  memory: (_call, reply) => {
    reply.help("MEMORY", [
      "USAGE <key> [SAMPLES <count>]",
      "    The bytes that a key, its value and their upkeep take.",
    ]);
  },
  reset: resetCommand,
};
