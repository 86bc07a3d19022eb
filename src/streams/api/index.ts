/**
 * The module "node-x/stream": what applications import. Its types and words are in contract.ts.
 *
 * In the executable the module is registered by plan/load.ts, because no package stands beside an application's file.
 */
import type * as contract from "./contract.ts";
import { json } from "./codecs.ts";
import type { Framing, WindowOptions } from "./contract.ts";
import { testApp } from "./test-app.ts";

export type * from "./contract.ts";
export { json, testApp };

/** The largest record of the original's sources. */
const RECORD_BYTES_MAX = 16_384;

export const app: typeof contract.app = (name, build) => ({ name, build });

export const framed: typeof contract.framed = (
  headerBytes = 4,
  recordBytesMax = RECORD_BYTES_MAX,
): Framing => ({
  kind: "framed",
  headerBytes,
  recordBytesMax,
});

export const lines: typeof contract.lines = (recordBytesMax = RECORD_BYTES_MAX): Framing => ({
  kind: "lines",
  recordBytesMax,
});

const open = ({ delayMs = 0, late = "drop", ...flush }: WindowOptions) => ({ delayMs, late, ...flush });

export const tumbling: typeof contract.tumbling = (rangeMs, options = {}) => ({
  ...{ kind: "tumbling", rangeMs },
  ...open(options),
});

export const sliding: typeof contract.sliding = (rangeMs, slideMs, options = {}) => ({
  ...{ kind: "sliding", rangeMs, slideMs },
  ...open(options),
});

export const session: typeof contract.session = (gapMs, options = {}) => ({
  ...{ kind: "session", gapMs },
  ...open(options),
});

export const ephemeral: typeof contract.ephemeral = (rangeMs, keptMs, options = {}) => ({
  ...{ kind: "ephemeral", rangeMs, keptMs },
  ...open(options),
});

export const counting: typeof contract.counting = (count, options = {}) => ({
  kind: "count",
  count,
  ...options,
});

export const seconds: typeof contract.seconds = (count) => count * 1000;
export const minutes: typeof contract.minutes = (count) => count * 60_000;
