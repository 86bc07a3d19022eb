/** How far a rollout is: its stage and a live line per host on a terminal, one line per event elsewhere. */
import type { RolloutEvent } from "../../cluster/rollout/engine.ts";
import type { Lane, Step } from "../../cluster/rollout/steps.ts";
import { LiveLines } from "../../core/live-lines.ts";
import type { Clock } from "../../core/seams/clock.ts";
import { colorsFor, type Colors } from "../print.ts";
import type { Surroundings } from "../verb.ts";

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
  readonly #lines: LiveLines;
  readonly #isTty: boolean;
  readonly #colors: Colors;

  constructor({ stderr, environment }: Surroundings, clock: Clock) {
    this.#lines = new LiveLines(stderr, clock);
    this.#isTty = stderr.isTty;
    this.#colors = colorsFor(stderr, environment);
  }

  show(event: RolloutEvent): void {
    const { bold, green, red, yellow } = this.#colors;
    switch (event.kind) {
      case "stage":
        return this.#lines.title(bold(`[${event.index + 1}/${event.count}] ${event.title}`));
      case "step":
        if (event.state === "begun") this.#host(event.step, WORDS[event.step.kind]);
        else if (event.step.kind === "gate") this.#host(event.step, green("healthy"));
        return;
      case "progress":
        // Elsewhere than on a terminal, every word of progress would be a line: only how much was sent is worth one.
        if (this.#isTty || event.text.endsWith(" sent"))
          this.#host(event.step, WORDS[event.step.kind], event.text);
        return;
      case "failed":
        return this.#lines.say(
          // The rest of it, an instance's last lines, stands at the end of everything, in the error.
          red(`${whereOf(event.step)}: ${event.step.kind} failed: ${event.error.message.split("\n")[0]}`),
        );
      case "undoing":
        return this.#lines.say(`${nameOf(event.lane)}: going back to what it had`);
      case "undone":
        return this.#lines.say(yellow(`${nameOf(event.lane)}: is back`));
      case "undo failed":
        this.#lines.say(
          red(`${nameOf(event.lane)}: could not go back: ${event.error.message}; its host will`),
        );
    }
  }

  #host({ host, instance }: Step, phase: string, detail?: string): void {
    this.#lines.set(host, instance === undefined ? phase : `${instance} ${phase}`, detail);
  }

  /** Takes the live lines away. */
  end(): void {
    this.#lines.end();
  }
}

function whereOf({ host, instance }: Step): string {
  return instance === undefined ? host : `${instance} on ${host}`;
}

function nameOf({ host, instance }: Lane): string {
  return instance ?? host;
}
