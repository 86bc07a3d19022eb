/** What the log of a queue node consists of; an operator's files depend on the version, so it changes with the bytes. */

/** Version of the effects that native/queue/effects.c writes, told apart from those of the dht. */
export const QUEUE_EFFECTS_FORMAT = 101;
/** One slice of a snapshot: bounds the time that requests wait for it. */
export const SNAPSHOT_SLICE_BYTES = 128 * 1024;
