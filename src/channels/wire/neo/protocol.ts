/**
 * Codes of the neo requests of each kind of node, and of what is said in them. The dht node's are of version 0.
 *
 * The answer to a request's first message is one byte (`Support`); what follows is the request's own.
 */
export const Code = {
  GetHashRange: 1,
  Put: 2,
  Get: 3,
  Mirror: 4,
  GetAll: 5,
  GetChannels: 6,
  Exists: 7,
  Remove: 8,
  RemoveChannel: 9,
  Update: 10,
} as const;

/** Codes and versions of the queue node's requests. */
export const QueueCode = { Push: 1, Pop: 2, Consume: 6 } as const;
export const queueVersions = { Push: 3, Pop: 1, Consume: 4 } as const;
export const PushAnswer = { pushed: 1, error: 2 } as const;
export const PopAnswer = { popped: 1, empty: 2, error: 3, hasSubscribers: 4 } as const;
/** What a consumer is sent, and what it sends. Before `started`, 2 is an error. */
export const ConsumeMessage = { started: 1, records: 3, stopped: 4, channelRemoved: 5 } as const;
export const ConsumeControl = { continue: 1, stop: 2 } as const;

/** Codes and versions of the logfiles node's requests. */
export const LogfilesCode = { Put: 1, GetRange: 2 } as const;
export const logfilesVersions = { Put: 1, GetRange: 2 } as const;
/** Of a GetRange. Before `started`, 3 is an error. */
export const RangeMessage = { started: 1, records: 3, stopped: 4, finished: 5, error: 7 } as const;
export const RangeControl = { continue: 1, stop: 2, ack: 6 } as const;

export const VERSION = 0;

export const Support = { supported: 0xfd, versionNotSupported: 0xfe, codeNotSupported: 0xff } as const;

/** The longest value that a client may send: 65536 less key and length. */
export const VALUE_BYTES_MAX = 65_512;

/** What clients of GetAll and Mirror send to control them. */
export const Control = { suspend: 1, resume: 2, stop: 3, ack: 4 } as const;

export const GetAllMessage = { ack: 4, started: 5, error: 6, batch: 7, finished: 8 } as const;

export const MirrorMessage = {
  ack: 4,
  started: 5,
  error: 6,
  changed: 7,
  deleted: 8,
  refresh: 9,
  channelRemoved: 10,
  overflow: 11,
} as const;

export const UpdateMessage = {
  getRecord: 1,
  updateRecord: 2,
  removeRecord: 3,
  leaveRecord: 4,
  record: 5,
  done: 6,
  noRecord: 7,
  conflict: 8,
  wrongNode: 9,
  error: 10,
} as const;

/** FNV-1a, 64 bits: how Update names the value that a client has seen. */
export function fnv1a64(bytes: Uint8Array): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}
