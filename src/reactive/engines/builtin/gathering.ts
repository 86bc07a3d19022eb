/**
 * What a frontend tells one shard behind its answers to clients: outcomes that are carried out, or may be forgotten. Nobody waits
 * for one of them, so those that come together travel, and are written down, as one command.
 *
 * Invariant: each is answered by its own outcome, or fails with all of its command: who looks for unfinished transactions finds it. A shard
 * of an earlier version, which knows no commands of several, is told each by itself.
 */
import {
  decodeOutcome,
  decodeOutcomes,
  encodeCommand,
  isUnreadable,
  type FinalOutcome,
  type OutcomeCommand,
} from "../../shard/commands.ts";
import type { Group } from "./coordinator.ts";

/** Of one command. */
const COUNT_MAX = 1000;

interface Waiting {
  command: OutcomeCommand;
  done: PromiseWithResolvers<FinalOutcome>;
}

export class Gathering {
  readonly #group: Pick<Group, "command">;
  readonly #soon: (send: () => void) => void;
  #waiting: Waiting[] = [];

  /** `soon` calls back when others may have come. */
  constructor(group: Pick<Group, "command">, soon: (send: () => void) => void) {
    this.#group = group;
    this.#soon = soon;
  }

  ask(command: OutcomeCommand): Promise<FinalOutcome> {
    const done = Promise.withResolvers<FinalOutcome>();
    this.#waiting.push({ command, done });
    if (this.#waiting.length === 1) this.#soon(() => this.#sendAll());
    return done.promise;
  }

  #sendAll(): void {
    while (this.#waiting.length > 0) void this.#send(this.#waiting.splice(0, COUNT_MAX));
  }

  async #send(gathered: Waiting[]): Promise<void> {
    try {
      const outcomes = await this.#outcomesOf(gathered.map(({ command }) => command));
      for (const [index, { done }] of gathered.entries()) done.resolve(outcomes[index] as FinalOutcome);
    } catch (error) {
      for (const { done } of gathered) done.reject(error);
    }
  }

  async #outcomesOf(commands: OutcomeCommand[]): Promise<FinalOutcome[]> {
    const [first] = commands as [OutcomeCommand];
    if (commands.length === 1) return [await this.#outcomeOf(first)];
    const reply = await this.#group.command(encodeCommand({ kind: "several", commands }));
    // A shard that was rolled back before its frontends takes them one by one.
    if (isUnreadable(reply)) return Promise.all(commands.map((command) => this.#outcomeOf(command)));
    return decodeOutcomes(reply, commands.length);
  }

  async #outcomeOf(command: OutcomeCommand): Promise<FinalOutcome> {
    return decodeOutcome(await this.#group.command(encodeCommand(command)));
  }
}
