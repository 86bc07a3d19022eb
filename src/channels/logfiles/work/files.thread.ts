/**
 * The thread that works on files for a logfiles role (see work.ts).
 *
 * Everything in it runs on one event loop: scans and jobs take turns at each piece and each read. It owns no state that
 * outlives a request but what flushes append to.
 */
import { realWorld } from "../../../core/seams/world-real.ts";
import type { Pieces } from "../scan/scan.ts";
import { InlineWork } from "./inline-work.ts";
import { type FromThread, shapeOf, type ToThread } from "./messages.ts";

declare const self: Worker;

const work = new InlineWork(realWorld().disk);
const scans = new Map<number, Pieces>();

function tell(message: FromThread, transfer: ArrayBuffer[] = []): void {
  self.postMessage(message, transfer);
}

async function next(id: number): Promise<void> {
  const scan = scans.get(id);
  const bytes = await scan?.next();
  if (bytes !== undefined) tell({ kind: "piece", id, bytes }, [bytes.buffer as ArrayBuffer]);
  else tell({ kind: "ended", id, figures: scan?.figures });
}

async function close(id: number): Promise<void> {
  const scan = scans.get(id);
  scans.delete(id);
  await scan?.close();
  tell({ kind: "ended", id, figures: undefined });
}

async function serve(message: ToThread): Promise<void> {
  const { id } = message;
  switch (message.kind) {
    case "scan":
      scans.set(id, work.scan(message.request));
      return;
    case "next":
      return next(id);
    case "close":
      return close(id);
    case "job":
      tell({ kind: "done", id, result: await work.run(message.name, message.task as never) });
  }
}

self.onmessage = ({ data }: MessageEvent<ToThread>) => {
  serve(data).catch((error: unknown) => tell({ kind: "failed", id: data.id, error: shapeOf(error) }));
};
