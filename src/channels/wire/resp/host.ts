/**
 * What the administrative commands need to know of the node they run in. The role provides it; nothing here
 * reaches for a clock, a configuration or a process by itself.
 */
import type { Clock } from "../../../core/seams/clock.ts";
import type { RespConnection, RespEngine } from "../../../native/resp.ts";
import type { LatencyMonitor } from "./latency.ts";

/** One connected client. `RespService.open` makes it. */
export interface RespSession {
  readonly id: number;
  readonly connection: RespConnection;
  /** `host:port` of the two ends. */
  readonly address: string;
  readonly localAddress: string;
  readonly openedAtMs: number;
  activeAtMs: number;
  name: string;
  authenticated: boolean;
  /** Bytes that wait in the client's outbox; the role may replace it. */
  outputBytes: () => number;
}

/** One parameter of CONFIG GET; without `set` it can only be read. */
export interface ConfigParameter {
  name: string;
  get(): string;
  /** Applies a value; returns why it cannot be (the text Redis puts after ` - `), or undefined. */
  set?(value: string): string | undefined;
}

export interface InfoSection {
  /** Lower case; shown with a capital. */
  name: string;
  fields: Record<string, string | number>;
}

export interface RespHost {
  /** Of node-x. */
  version: string;
  /** 40 hexadecimal digits, different for each start. */
  runId: string;
  processId: number;
  /** Absolute path of the configuration file, or empty. */
  configFile: string;
  /** Known once the listener is open. */
  port(): number;
  startedAtMs: number;
  clock: Clock;
  engine: RespEngine;
  latency: LatencyMonitor;
  /** The password clients must give, or undefined. */
  password(): string | undefined;
  parameters: ConfigParameter[];
  /**
   * Sections of INFO that only the role knows: memory, persistence, more fields for clients and stats. A section
   * of the same name as one of ours adds its fields to it.
   */
  info(): InfoSection[];
  /** Begins to rewrite the log; why it cannot, as the text of an error, or undefined. */
  rewriteLog(): string | undefined;
  sessions(): Iterable<RespSession>;
  /** Closes a client after what is being written to it. */
  kill(session: RespSession): void;
}

/** One admin command being answered. */
export interface AdminCall {
  host: RespHost;
  session: RespSession;
  /** Name first. */
  words: Buffer[];
}
