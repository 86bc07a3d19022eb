/**
 * What a node needs to know of each protocol it speaks. A side owns an engine in C and its listener; the state, its log
 * and the gate that holds replies are the node's and are shared by all sides.
 */
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

/** The sum of one figure over all sides. */
export function sumOf(sides: readonly Side[], figure: keyof SideFigures): number {
  return sides.reduce((sum, side) => sum + side.figures[figure], 0);
}
