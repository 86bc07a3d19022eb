/** What the log of a dht node consists of; an operator's files depend on the version, so it changes with the bytes. */

/** Version of the effects that native/effects.c writes. */
export const EFFECTS_FORMAT = 1;
/** One slice of a snapshot: bounds the time that requests wait for it. */
export const SNAPSHOT_SLICE_BYTES = 128 * 1024;
