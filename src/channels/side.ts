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

/** What a side needs of its engine, and of its listener, whatever the protocol. */
export interface SideEngine {
  statistics(): { requestsTotal: number; errorsTotal: number };
  refuseWrites(isRefusing: boolean): void;
  close(): void;
}

interface SidePort {
  readonly figures: Omit<SideFigures, "requests" | "errors">;
  onLogDrain(): void;
  stopListening(): void;
  closeAll(): void;
}

/** A side as far as it is the same for both swarm protocols. */
export abstract class SwarmSide implements Side {
  protected abstract readonly engine: SideEngine;
  protected abstract readonly port: SidePort;

  abstract listen(): Promise<void>;

  get figures(): SideFigures {
    const { requestsTotal, errorsTotal } = this.engine.statistics();
    return { ...this.port.figures, requests: requestsTotal, errors: errorsTotal };
  }

  /** For `/stats`. */
  get stats(): Record<string, number> {
    return { ...this.engine.statistics(), ...this.port.figures };
  }

  refuseWrites(text: string | undefined): void {
    this.engine.refuseWrites(text !== undefined);
  }

  onLogDrain(): void {
    this.port.onLogDrain();
  }

  stopListening(): void {
    this.port.stopListening();
  }

  closeConnections(): void {
    this.port.closeAll();
  }

  close(): void {
    this.engine.close();
  }
}

/** The sum of one figure over all sides. */
export function sumOf(sides: readonly Side[], figure: keyof SideFigures): number {
  return sides.reduce((sum, side) => sum + side.figures[figure], 0);
}
