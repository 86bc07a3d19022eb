/**
 * `GET /metrics` of the hub: what every instance said when it was polled last, as one answer.
 *
 * Invariant: the answer is made of what is known and waits for nobody. An instance that does not answer is `node_x_up 0` and
 * its last figures are not told any more; of the others the age of their figures is. Askers within a second get the
 * same text.
 */
import type { Clock } from "../../core/seams/clock.ts";
import type { Asked } from "../../core/watch/scraper.ts";
import { Exposition, labelText } from "./exposition.ts";
import type { MetricsPoll } from "./metrics-poll.ts";

const SHARED_MS = 1000;

const ownMetrics = `\
# HELP node_x_up 1 when the instance answers the hub.
# TYPE node_x_up gauge
# HELP node_x_metrics_age_seconds How long ago the instance told the hub its metrics.
# TYPE node_x_metrics_age_seconds gauge
`;

export class Federation {
  readonly #clock: Clock;
  readonly #asked: () => readonly Asked[];
  readonly #poll: MetricsPoll;
  #latest: { atMs: number; text: string } | undefined;

  constructor(clock: Clock, asked: () => readonly Asked[], poll: MetricsPoll) {
    this.#clock = clock;
    this.#asked = asked;
    this.#poll = poll;
  }

  text(): string {
    const atMs = this.#clock.monotonicMs();
    if (this.#latest === undefined || atMs - this.#latest.atMs > SHARED_MS)
      this.#latest = { atMs, text: this.#join() };
    return this.#latest.text;
  }

  #join(): string {
    const exposition = new Exposition();
    exposition.add(ownMetrics);
    for (const { target, watched } of this.#asked()) {
      const labels = labelsOf(target);
      const isUp = watched.latest !== undefined;
      const polled = this.#poll.of(watched);
      exposition.add(`node_x_up{${labels}} ${isUp ? 1 : 0}`);
      if (polled === undefined) continue;
      exposition.add(`node_x_metrics_age_seconds{${labels}} ${(polled.ageMs / 1000).toFixed(3)}`);
      if (isUp && polled.text !== undefined) exposition.add(polled.text);
    }
    return exposition.text();
  }
}

function labelsOf({ name, role, host }: Asked["target"]): string {
  return Object.entries({ instance: name, role, host })
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}="${labelText(value as string)}"`)
    .join(",");
}
