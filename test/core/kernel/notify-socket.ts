/**
 * The service manager's end of sd_notify: a datagram socket, as systemd opens it. Bun has no unix datagram sockets, so a
 * few lines of Python hold the socket and print each datagram as a line of JSON.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./harness.ts";

const program = `
import json, socket, sys, time
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\\0" + name[1:] if name[0] == "@" else name)
print(json.dumps({"open": True, "us": time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}), flush=True)
while True:
    print(json.dumps({"message": s.recv(4096).decode(), "us": time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}), flush=True)
`;

export class NotifySocket implements AsyncDisposable {
  readonly name: string;
  readonly messages: string[] = [];
  readonly #directory = mkdtempSync(join(tmpdir(), "node-x-notify-"));
  readonly #python: Bun.Subprocess<"ignore", "pipe", "inherit">;
  #isOpen = false;
  #lastUs = 0;
  #lastAtMs = performance.now();

  private constructor(kind: "path" | "abstract") {
    this.name =
      kind === "path" ? join(this.#directory, "notify") : `@node-x-test-${process.pid}-${Bun.nanoseconds()}`;
    this.#python = Bun.spawn(["python3", "-c", program, this.name], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    void this.#collect();
  }

  static async open(kind: "path" | "abstract"): Promise<NotifySocket> {
    const socket = new NotifySocket(kind);
    await until("the notify socket", () => (socket.#isOpen ? true : undefined));
    return socket;
  }

  async #collect(): Promise<void> {
    let pending = "";
    const decoder = new TextDecoder();
    for await (const chunk of this.#python.stdout) {
      pending += decoder.decode(chunk, { stream: true });
      const lines = pending.split("\n");
      pending = lines.pop() as string;
      for (const line of lines) {
        const { message, us } = JSON.parse(line) as { message?: string; us: number };
        this.#isOpen = true;
        this.#lastUs = us;
        this.#lastAtMs = performance.now();
        if (message !== undefined) this.messages.push(message);
      }
    }
  }

  /** CLOCK_MONOTONIC of this host, as of the last datagram. */
  monotonicUs(): number {
    return this.#lastUs;
  }

  received(message: string): Promise<true> {
    return until(JSON.stringify(message), () => (this.messages.includes(message) ? true : undefined));
  }

  /** Resolves once no datagram came for `durationMs`. */
  async silentFor(durationMs: number): Promise<void> {
    const fromMs = performance.now();
    await until(`${durationMs} ms of silence`, () =>
      performance.now() - Math.max(fromMs, this.#lastAtMs) >= durationMs ? true : undefined,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#python.kill("SIGKILL");
    await this.#python.exited;
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
