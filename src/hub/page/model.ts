/**
 * What the page knows: the latest message of each instance, and whether the hub still talks to us.
 *
 * The browser reconnects by itself after an interruption; the hub then sends everything again.
 */
import { signal } from "@preact/signals";
import {
  HISTORY_LENGTH,
  sparkFigure,
  type FullMessage,
  type History,
  type InstanceSnapshot,
  type TickMessage,
} from "../snapshot.ts";

export interface Row {
  snapshot: InstanceSnapshot;
  history: History;
}

export const rows = signal<Row[]>([]);
export const hub = signal<FullMessage["hub"] | undefined>(undefined);
export const isConnected = signal(true);

export function connect(): void {
  const events = new EventSource("/api/events");
  events.addEventListener("full", ({ data }: MessageEvent<string>) => {
    const message = JSON.parse(data) as FullMessage;
    isConnected.value = true;
    hub.value = message.hub;
    rows.value = message.instances;
  });
  events.addEventListener("tick", ({ data }: MessageEvent<string>) => {
    const known = new Map(rows.value.map((row) => [row.snapshot.target, row.history]));
    rows.value = (JSON.parse(data) as TickMessage).instances.map((snapshot) => ({
      snapshot,
      history: [...(known.get(snapshot.target) ?? []), sparkFigure(snapshot)].slice(-HISTORY_LENGTH),
    }));
  });
  events.onopen = () => (isConnected.value = true);
  events.onerror = () => (isConnected.value = false);
}
