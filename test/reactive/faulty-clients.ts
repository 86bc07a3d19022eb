/** Clients with one defect each, for negative controls: what they send is changed on its way out. */
import { decodeClientMessage, encodeClientMessage } from "../../src/reactive/client-wire/codec.ts";
import type { ClientMessage } from "../../src/reactive/client-wire/messages.ts";
import type { ClientOptions } from "../../src/reactive/client.ts";
import { type OpenSocket, type WebSocketClass, webSockets } from "../../src/reactive/client/socket.ts";

/** Sends `change` of each message; undefined: it is not sent. */
export function sending(change: (message: ClientMessage) => ClientMessage | undefined): ClientOptions {
  const real = webSockets(WebSocket as unknown as WebSocketClass);
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
