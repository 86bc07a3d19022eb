/** Clients with one defect each, for negative controls: what they send is changed on its way out. */
import { decodeClientMessage, encodeClientMessage } from "../../src/reactive/client-wire/codec.ts";
import type { ClientMessage } from "../../src/reactive/client-wire/messages.ts";
import type { ClientOptions } from "../../src/reactive/client.ts";
import { type OpenSocket, type WebSocketClass, webSockets } from "../../src/reactive/client/socket.ts";

/** Sends `change` of each message; undefined: it is not sent. `real`: what it is sent over. */
export function sending(
  change: (message: ClientMessage) => ClientMessage | undefined,
  real: OpenSocket = webSockets(WebSocket as unknown as WebSocketClass),
): ClientOptions {
  const open: OpenSocket = (url, handlers) => {
    const socket = real(url, handlers);
    return {
      send(bytes) {
        const changed = change(decodeClientMessage(bytes));
        if (changed !== undefined) socket.send(encodeClientMessage(changed));
      },
      close: () => socket.close(),
    };
  };
  return { seams: { open } };
}

/** Its commits are not checked against what they read. */
export const withoutReads = (): ClientOptions =>
  sending((message) =>
    message.type === "commit"
      ? {
          ...message,
          transaction: {
            ...message.transaction,
            accesses: message.transaction.accesses
              .map((access) => ({ ...access, reads: [] }))
              .filter(({ operations }) => operations.byteLength > 0),
          },
        }
      : message,
  );

/** Sends a commit whose answer was lost under another name: as if it were a new transaction. */
export function withNewNames(real: OpenSocket): ClientOptions {
  let number = 1e9;
  return sending((message) => {
    if (message.type !== "commit") return message;
    const { transaction } = message;
    return { ...message, transaction: { ...transaction, id: { ...transaction.id, number: ++number } } };
  }, real);
}

/** Says that it has seen everything whenever it registers a watch again. */
export function withForgetfulWatches(real: OpenSocket): ClientOptions {
  return sending(
    (message) => (message.type === "watch" ? { ...message, at: Number.MAX_SAFE_INTEGER - 1 } : message),
    real,
  );
}

/** Its commits leave out what they do to one key: half of what they are. */
export function withoutKey(name: string, real: OpenSocket): ClientOptions {
  return sending((message) => {
    if (message.type !== "commit") return message;
    const { transaction } = message;
    const accesses = transaction.accesses.filter(({ key }) => Buffer.from(key).toString() !== name);
    return { ...message, transaction: { ...transaction, accesses } };
  }, real);
}
