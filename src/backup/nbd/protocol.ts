/**
 * NBD before the transmission phase: the fixed newstyle handshake (the protocol document of the NetworkBlockDevice
 * project). Numbers are big-endian.
 *
 *   server   8 "NBDMAGIC"  8 "IHAVEOPT"  2 handshake flags
 *   client   4 client flags, then options:
 *            8 "IHAVEOPT"  4 option  4 length  data
 *   server   8 0x0003e889045565a9  4 option  4 type of the answer  4 length  data
 *
 * What follows is native/nbd/transmission.h.
 */
export const MAGIC = 0x4e42444d41474943n;
export const OPTION_MAGIC = 0x49484156454f5054n;
export const REPLY_MAGIC = 0x0003e889045565a9n;

/** Of both sides: fixed newstyle, and no 124 zeros behind an old answer. */
export const HandshakeFlag = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const NbdOption = {
  exportName: 1, abort: 2, list: 3, startTls: 5, info: 6, go: 7, structuredReply: 8, listMetaContext: 9,
  setMetaContext: 10,
} as const; // prettier-ignore

export const NbdAnswer = {
  ack: 1, server: 2, info: 3, metaContext: 4,
  unsupported: 0x8000_0001, policy: 0x8000_0002, invalid: 0x8000_0003, tlsRequired: 0x8000_0005,
  unknown: 0x8000_0006, tooBig: 0x8000_0009,
} as const; // prettier-ignore

export const NbdInfo = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

/** What an export can do, as its clients are told. */
export const TransmissionFlag = {
  hasFlags: 1, readOnly: 2, flush: 4, fua: 8, trim: 32, writeZeroes: 64, dontFragment: 128, multiConnection: 256,
} as const; // prettier-ignore

/** The one context of block status, and its number in this server. */
export const ALLOCATION_CONTEXT = "base:allocation";
export const ALLOCATION_ID = 1;
/** Flags of an extent of it. */
export const Allocation = { hole: 1, zero: 2 } as const;

/** Longest data of one request; what clients assume of a server. */
export const DATA_BYTES_MAX = 32 << 20;
