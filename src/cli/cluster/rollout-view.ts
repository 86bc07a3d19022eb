/** How far a rollout is: one live line per host on a terminal, one line per event elsewhere. */
import type { RolloutEvent } from "../../cluster/rollout/engine.ts";
import type { Step } from "../../cluster/rollout/steps.ts";
import { colorsFor, type Colors } from "../print.ts";
import type { Output, Surroundings } from "../verb.ts";

const WORDS: Record<Step["kind"], string> = {
  upload: "uploading",
  arm: "arming the rollback",
  stop: "stopping",
  swap: "swapping",
  start: "starting",
  gate: "waiting until ready and healthy",
  disarm: "done",
  forget: "removing",
  current: "making it current",
  prune: "removing old releases",
};

export class RolloutView {
  readonly #output: Output;
  readonly #colors: Colors;
  readonly #hosts = new Map<string, string>();
  #drawn = 0;

  constructor({ stderr, environment }: Surroundings) {
    this.#output = stderr;
    this.#colors = colorsFor(stderr, environment);
  }

  show(event: RolloutEvent): void {
    switch (event.kind) {
      case "stage":
        this.#say(this.#colors.bold(`[${event.index + 1}/${event.count}] ${event.title}`));
        return;
      case "step":
        if (event.state === "begun") this.#host(event.step, WORDS[event.step.kind]);
        else if (event.step.kind === "gate") this.#host(event.step, this.#colors.green("healthy"));
        return;
      case "progress":
        // Elsewhere than on a terminal, every word of progress would be a line: only how much was sent is worth one.
        if (this.#output.isTty || event.text.endsWith(" sent"))
          this.#host(event.step, `${WORDS[event.step.kind]}: ${event.text}`);
        return;
      case "failed":
        this.#say(
          this.#colors.red(`${whereOf(event.step)}: ${event.step.kind} failed: ${event.error.message}`),
        );
        return;
      case "undoing":
        this.#say(`${event.lane.instance ?? event.lane.host}: going back to what it had`);
        return;
      case "undone":
        this.#say(this.#colors.yellow(`${event.lane.instance ?? event.lane.host}: is back`));
        return;
      case "undo failed":
        this.#say(
          this.#colors.red(
            `${event.lane.instance ?? event.lane.host}: could not go back: ${event.error.message}; its host will`,
          ),
        );
    }
  }

  #host({ host, instance }: Step, text: string): void {
    const words = instance === undefined ? text : `${instance} ${text}`;
    if (this.#hosts.get(host) === words) return;
    this.#hosts.set(host, words);
    if (this.#output.isTty) this.#draw();
    else this.#output.write(`${host}: ${words}\n`);
  }

  /** A line that stays, above the live ones. */
  #say(text: string): void {
    this.#erase();
    this.#output.write(`${text}\n`);
    if (this.#output.isTty) this.#draw();
  }

  #draw(): void {
    this.#erase();
    const width = (this.#output.columns ?? 80) - 1;
    for (const [host, words] of this.#hosts)
      this.#output.write(`${Bun.sliceAnsi?.(`  ${host}: ${words}`, 0, width) ?? `  ${host}: ${words}`}\n`);
    this.#drawn = this.#hosts.size;
  }

  #erase(): void {
    if (this.#drawn > 0) this.#output.write(`\u001b[${this.#drawn}A\u001b[J`);
    this.#drawn = 0;
  }

  /** Takes the live lines away. */
  end(): void {
    this.#erase();
    this.#hosts.clear();
  }
}

function whereOf({ host, instance }: Step): string {
  return instance === undefined ? host : `${instance} on ${host}`;
}
