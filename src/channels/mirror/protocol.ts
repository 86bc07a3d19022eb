/**
 * What a node and its mirror say to each other: messages of the neo protocol, after its handshake, with request id 1.
 *
 *   mirror  u8 64, u8 0, u64 life, u64 position: follow; the life of the node and the position that it has everything up to
 *   node    fd, then one of
 *             u8 1, u64 life             all records follow; what the mirror has is replaced
 *             u8 2, u64 life             what changed behind its position follows
 *           then, in the order of time:
 *             u8 3, effects              some records, as they are at this moment
 *             u8 4, u64 position         the mirror has all records
 *             u8 5, u64 position, effects   what changed, up to this position of the node's log
 *             u8 6, u64 position         nothing new; sent ten times a second
 *   mirror  u8 7, u64 position: everything up to here is durable at the mirror
 *
 * Records and changes are effects (native/effects.h). A life is the number of one process of the node.
 */
export const FOLLOW_CODE = 64;
export const FOLLOW_VERSION = 0;
export const FollowMessage = {
  whole: 1,
  rest: 2,
  slice: 3,
  complete: 4,
  change: 5,
  idle: 6,
  durable: 7,
} as const;
/** The request's id; there is one on a connection. */
export const FOLLOW_ID = 1n;
