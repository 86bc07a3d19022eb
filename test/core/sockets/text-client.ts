/** A client of a unix socket for text, as `socat - UNIX-CONNECT:path` is one. */

/** Sends `text` and no more, and resolves with everything that came until the other side closed. */
export function ask(path: string, text: string | Uint8Array): Promise<string> {
  const decoder = new TextDecoder();
  let answer = "";
  return new Promise((resolve, reject) => {
    Bun.connect({
      unix: path,
      allowHalfOpen: true,
      socket: {
        open(socket) {
          socket.write(text);
          socket.shutdown();
        },
        data: (_, chunk) => void (answer += decoder.decode(chunk, { stream: true })),
        end: (socket) => void socket.end(),
        close: () => resolve(answer),
        connectError: (_, error) => reject(error),
      },
    }).catch(reject);
  });
}
