/**
 * Which channels a node names one by one. A client may make very many, and figures that name all of them would fill the
 * disk of the log and hold up the node; the rest is in the totals.
 */

export const NAMED_CHANNELS_MAX = 1000;

/** The channels with the most bytes, as many as are named, in the order given. */
export function foremost<Channel>(
  channels: readonly Channel[],
  bytesOf: (channel: Channel) => number,
  countMax = NAMED_CHANNELS_MAX,
): readonly Channel[] {
  if (channels.length <= countMax) return channels;
  const chosen = new Set(
    [...channels].sort((left, right) => bytesOf(right) - bytesOf(left)).slice(0, countMax),
  );
  return channels.filter((channel) => chosen.has(channel));
}
