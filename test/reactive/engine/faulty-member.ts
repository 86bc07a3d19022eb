/** What lies between a frontend and a member of etcd: it loses requests, answers and watches when it is told to. */

export type Loss = "nothing" | "requests" | "answers";

export class FaultyMember implements Disposable {
  /** What is lost of calls that write. */
  loses: () => Loss = () => "nothing";
  /** Called before each call is passed on. */
  beforeCall: (body: string) => Promise<unknown> | undefined = () => undefined;
  /** No watch is let through until it is false. */
  holdsWatches = false;
  /** Watches stay, and nothing of them is passed on. */
  mutesWatches = false;
  lost = 0;
  readonly #server: ReturnType<typeof Bun.serve>;
  readonly #watches = new Set<AbortController>();
  #member: string;

  constructor(member: string) {
    this.#member = member;
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      fetch: (request) => this.#pass(this.#member, request),
    });
  }

  /** From now on it is this member that is behind it. */
  passTo(member: string): void {
    this.#member = member;
    this.cutWatches();
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  async #pass(member: string, request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const body = await request.text();
    if (pathname === "/v3/watch") return this.#watch(member, body);
    await this.beforeCall(body);
    const loss = body.includes("request_put") ? this.loses() : "nothing";
    if (loss !== "nothing") this.lost += 1;
    if (loss === "requests") return new Response("lost", { status: 503 });
    const answer = await fetch(`${member}${pathname}`, { method: "POST", body }).catch(() => undefined);
    if (answer === undefined || loss === "answers") return new Response("lost", { status: 503 });
    return new Response(await answer.arrayBuffer(), { status: answer.status });
  }

  async #watch(member: string, body: string): Promise<Response> {
    if (this.holdsWatches) return new Response("no", { status: 503 });
    const cut = new AbortController();
    this.#watches.add(cut);
    const passed = fetch(`${member}/v3/watch`, { method: "POST", body, signal: cut.signal });
    // It may be cut before it is made.
    const answer = await passed.catch(() => undefined);
    if (answer === undefined) return new Response("no", { status: 503 });
    return new Response(this.#passedOn(answer), { status: answer.status });
  }

  /** The body of a watch, which simply ends where it is cut. */
  #passedOn(answer: Response): ReadableStream<Uint8Array> {
    const isMuted = () => this.mutesWatches;
    return new ReadableStream({
      async start(controller) {
        try {
          for await (const chunk of answer.body as ReadableStream<Uint8Array>)
            if (!isMuted()) controller.enqueue(chunk);
        } catch {
          // It was cut.
        }
        controller.close();
      },
    });
  }

  /** Ends all watches; with `holds` there is none until they are let through again. */
  cutWatches(holds = false): void {
    this.holdsWatches = holds;
    for (const watch of this.#watches) watch.abort();
    this.#watches.clear();
  }

  [Symbol.dispose](): void {
    this.cutWatches(true);
    void this.#server.stop(true);
  }
}
