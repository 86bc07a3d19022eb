/** Small helpers over raw replies. */

/** The reply without its final line end, as text. */
export const replyText = (reply: Uint8Array) => Buffer.from(reply).toString("latin1").slice(0, -2);
