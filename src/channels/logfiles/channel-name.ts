/** What a channel may be called: the protocol's rule, and short enough for the name of a directory. */
const NAME = /^[A-Za-z0-9_-]{1,255}$/;

export const isChannelName = (name: string): boolean => NAME.test(name);
