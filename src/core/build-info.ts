/**
 * What this executable was built from. The constants are put in place by build.ts (`define`); in a checkout
 * that runs from source they are absent and `commit` says so.
 */
declare const NODE_X_VERSION: string;
declare const NODE_X_COMMIT: string;
declare const NODE_X_COMPILED: boolean;

export const buildInfo = {
  version: typeof NODE_X_VERSION === "undefined" ? "0.0.0-source" : NODE_X_VERSION,
  /** Git commit, with `+dirty` when the tree differed from it. */
  commit: typeof NODE_X_COMMIT === "undefined" ? "source" : NODE_X_COMMIT,
  /** True inside dist/node-x. */
  isCompiled: typeof NODE_X_COMPILED === "undefined" ? false : NODE_X_COMPILED,
  bun: `${Bun.version}+${Bun.revision.slice(0, 9)}`,
} as const;

/**
 * Formats on disk, each with the version this executable writes (and the oldest it reads). `log` is the append log; what is
 * in it is named by whose it is. The files of original programs are theirs and have their own versions.
 */
export const diskFormats = {
  log: { writes: 1, readsFrom: 1 },
  effects: { writes: 1, readsFrom: 1 },
  queueEffects: { writes: 101, readsFrom: 101 },
  logfilesRecords: { writes: 1, readsFrom: 1 },
  logfilesSegments: { writes: 1, readsFrom: 1 },
  streamState: { writes: 1, readsFrom: 1 },
} as const;

/** Protocols spoken, each with its version. */
export const protocols = {
  resp: "RESP2, RESP3",
  swarm: "20110401",
  neo: 1,
  replication: 1,
  frontendClient: 2,
  admin: 1,
  agent: 2,
} as const;
