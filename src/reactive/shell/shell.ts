/**
 * The terminal client: reads commands, runs each as a transaction of its own or, between `begin` and `commit`, all as one.
 *
 * Invariant: a line is answered before the next one is read, so a script sees the effects of its own lines in order. A
 * transaction that is still open at the end is aborted.
 */
import { AbortedError, type Client, type ReactiveHandle, type TransactionHandle } from "../client.ts";
import { type Command, CommandError, commands, type Result, wordsOf } from "./commands.ts";

export interface ShellOutput {
  results(results: Result[], timestamp: number | undefined): void;
  listed(
    entries: { key: string; value: Extract<Result, { value: unknown }>["value"] }[],
    isMore: boolean,
  ): void;
  said(text: string): void;
  failed(message: string): void;
}

interface OpenTransaction {
  handle: TransactionHandle;
  /** Ends its code: by a commit, or by throwing. */
  end: PromiseWithResolvers<void>;
  done: Promise<{ timestamp: number } | Error>;
}

const ENDS = new Set(["exit", "quit", "q"]);

export const moreCommands = [
  { usage: "list PREFIX", summary: "Keys that begin with a prefix, with their values" },
  { usage: "watch KEY …", summary: "The values now and at each change, until `unwatch` or the end" },
  { usage: "unwatch", summary: "Ends what `watch` began" },
  { usage: "begin", summary: "What follows is one transaction" },
  { usage: "commit", summary: "Commits it" },
  { usage: "abort", summary: "Drops it" },
  { usage: "exit, quit, q", summary: "Ends the shell" },
];

export class Shell {
  readonly #client: Client;
  readonly #output: ShellOutput;
  #open: OpenTransaction | undefined;
  readonly #watches: ReactiveHandle[] = [];
  #failures = 0;

  constructor(client: Client, output: ShellOutput) {
    this.#client = client;
    this.#output = output;
  }

  get failures(): number {
    return this.#failures;
  }

  get isInTransaction(): boolean {
    return this.#open !== undefined;
  }

  /** Runs one line. Resolves with false when the shell shall end. */
  async line(text: string): Promise<boolean> {
    try {
      const [name = "", ...words] = wordsOf(text);
      if (name === "" || name.startsWith("#")) return true;
      if (ENDS.has(name)) return false;
      await this.#run(name, words);
    } catch (error) {
      this.#failures += 1;
      this.#output.failed(error instanceof Error ? error.message : String(error));
    }
    return true;
  }

  async end(): Promise<void> {
    if (this.#open !== undefined) await this.#abort();
    for (const watch of this.#watches.splice(0)) await watch.stop();
  }

  async #run(name: string, words: string[]): Promise<void> {
    switch (name) {
      case "begin":
        return this.#begin();
      case "commit":
        return this.#commit();
      case "abort":
        return this.#abort();
      case "list":
        return this.#list(words);
      case "watch":
        return this.#watch(words);
      case "unwatch":
        for (const watch of this.#watches.splice(0)) await watch.stop();
        return;
      case "help":
        return this.#help();
    }
    const command = commands.find((each) => each.name === name);
    if (command === undefined) throw new CommandError(`there is no command "${name}": \`help\` lists them`);
    try {
      await this.#perform(command, words);
    } catch (error) {
      throw error instanceof CommandError ? new CommandError(`${error.message}: ${command.usage}`) : error;
    }
  }

  async #perform({ read, write }: Command, words: string[]): Promise<void> {
    const { results } = this.#output;
    if (this.#open !== undefined) {
      const { handle } = this.#open;
      results((await read?.(handle, words)) ?? [write!(handle, words)], undefined);
    } else if (read !== undefined) {
      const { result, timestamp } = await this.#client.readOnlyTimed((transaction) =>
        read(transaction, words),
      );
      results(result, timestamp);
    } else {
      const { result, timestamp } = await this.#client.executeTimed((transaction) =>
        write!(transaction, words),
      );
      results([result], timestamp);
    }
  }

  async #begin(): Promise<void> {
    if (this.#open !== undefined) throw new CommandError("a transaction is open already: commit or abort it");
    const end = Promise.withResolvers<void>();
    const started = Promise.withResolvers<TransactionHandle>();
    const done = this.#client
      .executeTimed(
        async (transaction) => {
          started.resolve(transaction);
          await end.promise;
        },
        // What a person typed is not typed again by itself.
        { retries: 0 },
      )
      .catch((error: unknown) => error as Error);
    this.#open = { handle: await started.promise, end, done };
    this.#output.said("begun");
  }

  async #commit(): Promise<void> {
    const open = this.#ended();
    open.end.resolve();
    const outcome = await open.done;
    if (outcome instanceof Error) throw outcome;
    this.#output.said(`committed at ${outcome.timestamp}`);
  }

  async #abort(): Promise<void> {
    const open = this.#ended();
    open.end.reject(new AbortedError("byUser", "aborted"));
    await open.done;
    this.#output.said("aborted");
  }

  #ended(): OpenTransaction {
    const open = this.#open;
    if (open === undefined) throw new CommandError("no transaction is open: `begin` opens one");
    this.#open = undefined;
    return open;
  }

  async #list([prefix = ""]: string[]): Promise<void> {
    const { entries, isMore } = await this.#client.list(prefix, { limit: 1000 });
    this.#output.listed(entries, isMore);
  }

  #watch(words: string[]): Promise<void> {
    const get = commands.find(({ name }) => name === "get") as Command;
    const first = Promise.withResolvers<void>();
    this.#watches.push(
      this.#client.executeReactive(
        async (transaction, run) => {
          const results = (await get.read?.(transaction, words)) ?? [];
          this.#output.results(results, run.timestamp);
          first.resolve();
        },
        { onError: (error) => first.reject(error) },
      ),
    );
    return first.promise;
  }

  #help(): void {
    const all = [...commands, ...moreCommands];
    const width = Math.max(...all.map(({ usage }) => usage.length));
    this.#output.said(all.map(({ usage, summary }) => `${usage.padEnd(width)}  ${summary}`).join("\n"));
  }
}
