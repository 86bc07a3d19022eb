/** What an acknowledged source asks the cluster: whether a sender may go on with a stream here, and from where. */
import type { StreamGrant, StreamReport } from "../worker/stream-registry.ts";

export interface StreamGrants {
  claim(stream: string, answer: (grant: StreamGrant) => void): void;
  /** The sender is gone: this much was fed. */
  left(report: StreamReport): void;
}
