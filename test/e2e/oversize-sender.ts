/**
 * A client that sends bodies of ten megabytes, one behind the other on four connections, whatever is answered.
 *
 *   bun test/e2e/oversize-sender.ts URL SECONDS
 */
const [, , url = "", seconds = "1"] = process.argv;
const body = new Uint8Array(10 << 20);
const endMs = performance.now() + Number(seconds) * 1000;

async function send(): Promise<void> {
  while (performance.now() < endMs) await fetch(url, { method: "POST", body }).catch(() => undefined);
}

await Promise.all(Array.from({ length: 4 }, send));
