/**
 * What the hub tells by itself: how every instance is, after each round.
 *
 * The browser reconnects by itself after an interruption; the hub then sends everything again. A page of a family gets the
 * details of that family with it.
 */
import { computed, signal } from "@preact/signals";
import { HISTORY_LENGTH, sparkFigure, type History } from "../../core/watch/snapshot.ts";
import type { Detail, FullMessage, ShownInstance, TickMessage } from "../messages.ts";

export interface Row {
  snapshot: ShownInstance;
  history: History;
}

export const latest = signal<TickMessage | undefined>(undefined);
export const rows = signal<Row[]>([]);
export const isConnected = signal(true);
/** The hub's clock minus ours, so that graphs end where the hub's figures do. */
export const clockSkewMs = signal(0);

export const hub = computed(() => latest.value?.hub);
export const concerns = computed(() => latest.value?.concerns ?? []);
export const details = computed<Detail[]>(() => latest.value?.details ?? []);

/** Listens for `view` until the returned function is called. */
export function listen(view: string): () => void {
  const events = new EventSource(`/api/events?view=${encodeURIComponent(view)}`);
  const take = (message: TickMessage, histories: (target: string) => History) => {
    rows.value = message.instances.map((snapshot) => ({ snapshot, history: histories(snapshot.target) }));
    latest.value = message;
    clockSkewMs.value = message.hub.nowMs - Date.now();
    isConnected.value = true;
  };
  events.addEventListener("full", ({ data }: MessageEvent<string>) => {
    const message = JSON.parse(data) as FullMessage;
    take(message, (target) => message.histories[target] ?? []);
  });
  events.addEventListener("tick", ({ data }: MessageEvent<string>) => {
    const message = JSON.parse(data) as TickMessage;
    const known = new Map(rows.value.map((row) => [row.snapshot.target, row.history]));
    const figures = new Map(message.instances.map((each) => [each.target, sparkFigure(each)]));
    take(message, (target) =>
      [...(known.get(target) ?? []), figures.get(target) ?? null].slice(-HISTORY_LENGTH),
    );
  });
  events.onopen = () => (isConnected.value = true);
  events.onerror = () => (isConnected.value = false);
  return () => events.close();
}

export function detailOf(instance: string): Record<string, unknown> | undefined {
  return details.value.find((detail) => detail.instance === instance)?.own;
}
