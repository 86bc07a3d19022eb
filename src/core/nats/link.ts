/**
 * A connection to NATS servers that comes back by itself, with what roles need of JetStream.
 *
 * Invariant: it is tried for as long as the link is open, with growing pauses; secrets are read from their files at each
 * connect, and never logged. What was asked for on a connection that broke fails there: who asked knows whether asking
 * again does harm.
 *
 * The library opens its sockets by itself, past the net seam: a simulation cannot hold it. It is loaded when the first
 * link connects.
 */
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import type { Authenticator, ConnectionOptions, MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import { NxError } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import { readBounded, readPrivateFile, readSecretFile } from "../secret-file.ts";
import { type Clock, sleep } from "../seams/clock.ts";
import type { Random } from "../seams/random.ts";
import type { NatsSettings } from "./keys.ts";

type Library = typeof import("@nats-io/transport-node");

export interface NatsLinkOptions {
  settings: NatsSettings;
  clock: Clock;
  random: Random;
  log: Log;
  /** Shown in the server's list of connections. */
  name: string;
}

/** What a connection offers; after a break it is the same. */
export interface NatsSession {
  connection: NatsConnection;
  jetstream: JetStreamClient;
  manager: JetStreamManager;
  newHeaders(): MsgHdrs;
}

const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 2000;
const REQUEST_TIMEOUT_MS = 5000;
const PING_MS = 5000;
const FLUSH_MS = 1000;
const INSIST_MS = 250;
const FILE_BYTES_MAX = 1 << 20;

export class NatsLink {
  readonly #options: NatsLinkOptions;
  #session: Promise<NatsSession> | undefined;
  #connection: NatsConnection | undefined;
  /** Resolves the session when a connection that broke is back. */
  #return: PromiseWithResolvers<NatsSession> | undefined;
  #isClosed = false;
  #attempts = 0;
  /** Why there is no connection right now; empty while there is one. */
  trouble = "not connected yet";
  /** Told when a connection breaks: what was being received on it may have gone with it. */
  onBreak: () => void = () => {};

  constructor(options: NatsLinkOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  /**
   * Resolves while connected, whenever that is: what is asked for in between would be lost. Rejects with
   * NX_CONNECT_FAILED once the link is closed.
   */
  session(): Promise<NatsSession> {
    this.#session ??= this.#connect();
    return this.#session;
  }

  /**
   * Does something that may be done again, until it succeeds. Only an NxError ends it: a refusal, or the end of the link.
   * `onWait` hears why it has to be done again.
   */
  async insist<Value>(
    operation: (session: NatsSession) => Promise<Value>,
    onWait: (reason: string) => void = () => {},
  ): Promise<Value> {
    for (;;) {
      const session = await this.session();
      try {
        return await operation(session);
      } catch (error) {
        if (error instanceof NxError) throw error;
        onWait((error as Error).message);
        await sleep(this.#options.clock, INSIST_MS);
      }
    }
  }

  async #connect(): Promise<NatsSession> {
    const { clock, log } = this.#options;
    const [library, { jetstream, jetstreamManager }] = await Promise.all([
      import("@nats-io/transport-node"),
      import("@nats-io/jetstream"),
    ]);
    while (!this.#isClosed) {
      try {
        const connection = await library.connect(this.#connectionOptions(library));
        if (this.#isClosed) {
          await connection.close();
          break;
        }
        this.#connection = connection;
        this.#connected(connection.getServer());
        const options = { timeout: REQUEST_TIMEOUT_MS };
        const session = {
          connection,
          jetstream: jetstream(connection, options),
          manager: await jetstreamManager(connection, { ...options, checkAPI: false }),
          newHeaders: () => library.headers(),
        };
        void this.#follow(session);
        return session;
      } catch (error) {
        const { message } = error as Error;
        if (this.trouble !== message) log.warn(`no NATS server lets this instance in yet: ${message}`);
        this.trouble = message;
        this.#attempts += 1;
        await sleep(clock, this.#pauseMs());
      }
    }
    throw closed();
  }

  #connectionOptions(library: Library): ConnectionOptions {
    const { settings, name } = this.#options;
    const { servers, tls } = settings;
    const authenticator = this.#authenticator(library);
    return {
      servers,
      name,
      ...(authenticator !== undefined && { authenticator }),
      ...(tls !== undefined && {
        tls: {
          ...(tls.ca !== undefined && { ca: readBounded(tls.ca, FILE_BYTES_MAX) }),
          ...(tls.cert !== undefined && { cert: readBounded(tls.cert, FILE_BYTES_MAX) }),
          ...(tls.key !== undefined && { key: readPrivateFile(tls.key, FILE_BYTES_MAX) }),
        },
      }),
      maxReconnectAttempts: -1,
      ignoreAuthErrorAbort: true,
      reconnectDelayHandler: () => this.#pauseMs(),
      timeout: REQUEST_TIMEOUT_MS,
      pingInterval: PING_MS,
      maxPingOut: 2,
      noAsyncTraces: true,
    };
  }

  #authenticator(library: Library): Authenticator | undefined {
    const { credentialsFile, userFile, tokenFile } = this.#options.settings;
    if (credentialsFile !== undefined)
      return library.credsAuthenticator(
        this.#again(() => Buffer.from(readPrivateFile(credentialsFile, FILE_BYTES_MAX))),
      );
    if (tokenFile !== undefined)
      return library.tokenAuthenticator(this.#again(() => readSecretFile(tokenFile)));
    if (userFile === undefined) return undefined;
    const login = this.#again(() => loginIn(userFile));
    return library.usernamePasswordAuthenticator(
      () => login().user,
      () => login().password,
    );
  }

  /** Reads a secret now, and at each connect again; one that cannot be read any more stays what it was. */
  #again<Secret>(read: () => Secret): () => Secret {
    let secret = read();
    return () => {
      try {
        secret = read();
      } catch (error) {
        this.#options.log.warn(`a secret stays what it was: ${(error as Error).message}`);
      }
      return secret;
    };
  }

  /** Doubles with every attempt; the random part keeps clients of a cluster that came back apart. */
  #pauseMs(): number {
    const pauseMs = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(this.#attempts, 10));
    return pauseMs * (0.5 + this.#options.random.float() / 2);
  }

  #connected(server: string): void {
    this.#attempts = 0;
    this.trouble = "";
    this.#options.log.info("connected to NATS", { server });
  }

  /** Never rejects; ends with the connection, which another one replaces. */
  async #follow(session: NatsSession): Promise<void> {
    const { log } = this.#options;
    for await (const status of session.connection.status()) {
      if (status.type === "disconnect" && !this.#isClosed) this.#broke(status.server);
      else if (status.type === "reconnecting") this.#attempts += 1;
      else if (status.type === "reconnect") {
        this.#connected(status.server);
        this.#return?.resolve(session);
        this.#return = undefined;
      } else if (status.type === "error") log.warn(`NATS says: ${status.error.message}`);
    }
    this.#connection = undefined;
    this.#session = undefined;
    if (!this.#isClosed) this.#return?.resolve(this.session());
  }

  #broke(server: string): void {
    this.trouble = `the connection to ${server} broke`;
    this.#options.log.warn(this.trouble);
    if (this.#return !== undefined) return;
    this.#return = Promise.withResolvers();
    this.#session = this.#return.promise;
    this.#session.catch(() => undefined);
    this.onBreak();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#return?.reject(closed());
    // Also for who never asked: the promise of a connection that is given up must not stay unheard.
    this.#session?.catch(() => undefined);
    const connection = this.#connection;
    if (connection === undefined) return;
    // What was published, acknowledgements above all, still leaves when there is somebody to take it.
    const flushed = connection.flush().catch(() => undefined);
    if (this.trouble === "") await Promise.race([flushed, sleep(this.#options.clock, FLUSH_MS)]);
    await connection.close();
  }
}

/** Throws NX_SECRET_UNUSABLE. */
function loginIn(path: string): { user: string; password: string } {
  const line = readSecretFile(path);
  const colon = line.indexOf(":");
  if (colon < 1) throw new NxError("NX_SECRET_UNUSABLE", `${path}: wanted one line, USER:PASSWORD`);
  return { user: line.slice(0, colon), password: line.slice(colon + 1) };
}

const closed = () => new NxError("NX_CONNECT_FAILED", "the connection to NATS is closed");
