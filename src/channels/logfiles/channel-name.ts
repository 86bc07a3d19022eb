/** What a channel may be called: the protocol's rule, and short enough for the names of files. */
const NAME = /^[A-Za-z0-9_-]{1,240}$/;

export const isChannelName = (name: string): boolean => NAME.test(name);
