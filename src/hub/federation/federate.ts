/**
 * `GET /metrics` of the hub: every instance is asked, and what they say is one answer.
 *
 * Invariant: an instance that does not answer in time is `node_x_up 0` and delays nobody beyond the timeout. Askers within a
 * second share one round, so that several Prometheus servers cost as much as one.
 */
import { adminGet } from "../../core/admin-client.ts";
import type { Clock } from "../../core/seams/clock.ts";
import type { Target } from "../../core/watch/scraper.ts";
import { Exposition, labelText } from "./exposition.ts";

const TIMEOUT_MS = 2000;
const SHARED_MS = 1000;
/** A longer answer of one instance is not taken. */
const TEXT_LENGTH_MAX = 8 * 1024 * 1024;

export class Federation {
  readonly #clock: Clock;
  readonly #targets: () => readonly Target[];
  #latest: { atMs: number; text: Promise<string> } | undefined;

  constructor(clock: Clock, targets: () => readonly Target[]) {
    this.#clock = clock;
    this.#targets = targets;
  }

  text(): Promise<string> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#latest === undefined || nowMs - this.#latest.atMs > SHARED_MS)
      this.#latest = { atMs: nowMs, text: this.#ask() };
    return this.#latest.text;
  }

  async #ask(): Promise<string> {
    const targets = this.#targets();
    const answers = await Promise.all(targets.map(({ endpoint }) => ask(endpoint)));
    const exposition = new Exposition();
    exposition.add("# HELP node_x_up 1 when the instance answers the hub.\n# TYPE node_x_up gauge");
    targets.forEach(({ name, role, host }, index) => {
      const labels = Object.entries({ instance: name, role, host })
        .filter(([, value]) => value !== undefined)
        .map(([key, value]) => `${key}="${labelText(value as string)}"`);
      exposition.add(`node_x_up{${labels.join(",")}} ${answers[index] === undefined ? 0 : 1}`);
    });
    for (const answer of answers) if (answer !== undefined) exposition.add(answer);
    return exposition.text();
  }
}

async function ask(endpoint: Target["endpoint"]): Promise<string | undefined> {
  if ("isUnreachableBecause" in endpoint) return undefined;
  try {
    const { status, body } = await adminGet(endpoint, "/metrics", TIMEOUT_MS);
    return status === 200 && body.length <= TEXT_LENGTH_MAX ? body : undefined;
  } catch {
    return undefined;
  }
}
