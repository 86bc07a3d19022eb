/**
 * Reads the body of a request up to a limit.
 *
 * Invariant: never more than `bytesMax` is kept, whatever length the request declares or leaves out.
 */

/** The body, or undefined when it is longer than `bytesMax`. Throws when the peer goes away. */
export async function readBody(
  request: Request,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const declared = request.headers.get("content-length");
  if (declared !== null) {
    if (Number(declared) > bytesMax) return undefined;
    // The server itself holds the peer to the length that it declared.
    return new Uint8Array(await request.arrayBuffer());
  }
  return readStream(request.body, bytesMax);
}

/** All bytes of a stream, or undefined when there are more than `bytesMax`; the rest is not read then. */
export async function readStream(
  stream: ReadableStream<Uint8Array> | null,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  if (stream !== null) {
    const reader = stream.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      length += part.value.byteLength;
      if (length > bytesMax) {
        await reader.cancel().catch(() => undefined);
        return undefined;
      }
      chunks.push(part.value);
    }
  }
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return whole;
}
