/** Placeholder header: helper H5 replaces this file. The interface below is the contract. */
export interface Log {
  trace(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
  fatal(message: string, fields?: Record<string, unknown>): void;
  /** A logger whose lines carry `name` appended (`dht.store`). */
  child(name: string): Log;
}
