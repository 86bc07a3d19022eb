/**
 * What the node needs to know of each protocol it speaks. A side owns an engine in C and its listener; the store, its
 * log and the gate that holds replies are the node's and are shared by all sides.
 */
import type { RoleContext } from "../../core/role.ts";
import type { ReplyGate } from "../reply-gate.ts";
import type { DurableStore } from "./durable-store.ts";
import type { DhtConfig, DhtLimits } from "./limits.ts";

export interface SideFigures {
  connections: number;
  refused: number;
  bytesReceived: number;
  bytesSent: number;
  requests: number;
  errors: number;
}

export interface Side {
  readonly figures: SideFigures;
  /** Opens the port, if it is configured, and announces it. */
  listen(): Promise<void>;
  /** `text`: why writes are refused, as Redis words it; undefined: they are welcome. */
  refuseWrites(text: string | undefined): void;
  /** The log takes appends again. */
  onLogDrain(): void;
  stopListening(): void;
  /** Closes every connection; none calls into the engine afterwards. */
  closeConnections(): void;
  /** Frees the engine, after closeConnections. */
  close(): void;
}

export interface SideOptions {
  context: RoleContext<DhtConfig>;
  durable: DurableStore;
  gate: ReplyGate;
  /** Current configuration; a reload changes it. */
  config(): DhtConfig;
  /** What this side may use, its clients and those of the others considered. */
  limits(): DhtLimits;
}
