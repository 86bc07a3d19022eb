/**
 * The seam to the network: message sockets, which every browser, Bun and Node (from 22, or 20 with --experimental-websocket)
 * has as `WebSocket`. Elsewhere, or in a test, another one is handed in.
 */

export interface MessageSocket {
  /** Of what was sent, what the network has not taken yet. Absent: nobody knows. */
  readonly unsentBytes?: number | undefined;
  send(message: Uint8Array<ArrayBuffer>): void;
  /** `onClose` follows, once, as after any other end. */
  close(): void;
}

export interface SocketHandlers {
  onOpen(): void;
  onMessage(message: Uint8Array): void;
  /** Also when it could not be opened. */
  onClose(reason: string): void;
}

export type OpenSocket = (url: string, handlers: SocketHandlers) => MessageSocket;

/** What of the WebSocket API is used: also that of `ws` and undici. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount?: number;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(): void;
  addEventListener(
    type: "open" | "message" | "close" | "error",
    listener: (event: { data?: unknown; reason?: string; code?: number }) => void,
  ): void;
}

export type WebSocketClass = new (url: string, protocols?: string | string[]) => WebSocketLike;

export function webSockets(WebSocket: WebSocketClass | undefined): OpenSocket {
  if (WebSocket === undefined)
    throw new TypeError(
      "this runtime has no WebSocket: hand one in with { WebSocket }, or start Node 20 with --experimental-websocket",
    );
  return (url, handlers) => {
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    let isOver = false;
    const over = (reason: string) => {
      if (isOver) return;
      isOver = true;
      handlers.onClose(reason);
    };
    socket.addEventListener("open", () => handlers.onOpen());
    socket.addEventListener("message", ({ data }) => {
      if (data instanceof ArrayBuffer) handlers.onMessage(new Uint8Array(data));
      else socket.close();
    });
    socket.addEventListener("error", () => over("the connection failed"));
    socket.addEventListener("close", ({ code, reason }) => over(reason || `closed with code ${code}`));
    return {
      get unsentBytes() {
        return socket.bufferedAmount;
      },
      send: (message) => socket.send(message),
      close: () => {
        socket.close();
        // A peer that is gone would answer the closing handshake only after a long time.
        over("closed here");
      },
    };
  };
}
