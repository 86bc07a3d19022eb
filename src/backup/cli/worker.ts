/** `node-x walb worker`, and the same under the name `walb-worker`: maintenance of one archive by the original's YAML file. */
import { hostname } from "node:os";
import { resolve } from "node:path";
import { NxError } from "../../core/errors.ts";
import { defineVerb, type Surroundings } from "../../core/verb.ts";
import { Controller } from "../client/controller.ts";
import { controllerNet } from "../client/controller-net.ts";
import { parseWorkerConfig } from "../client/worker/config.ts";
import { ArchiveWorker } from "../client/worker/worker.ts";
import { readSmallFile } from "../files/volume-files.ts";
import { listingTime } from "../formats/units.ts";
import { asksForHelp, parseOptions } from "./options.ts";

const usage =
  "-f FILE; -step: one look, and what it finds; -no: only say what is due; -lifetime SECONDS; -v, -vv";

/** Until a signal comes or the lifetime is over. */
async function untilEnd(worker: ArchiveWorker, isOver: () => boolean): Promise<void> {
  let isInterrupted = false;
  const interrupt = () => (isInterrupted = true);
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) process.on(signal, interrupt);
  try {
    await worker.run(() => isInterrupted || isOver());
  } finally {
    for (const signal of signals) process.off(signal, interrupt);
  }
}

export async function runWalbWorker(words: readonly string[], call: Surroundings): Promise<number> {
  if (words.some(asksForHelp)) {
    call.stdout.write(`usage: walb-worker ${usage}\n`);
    return 0;
  }
  const options = parseOptions(words, {
    f: "value",
    step: "flag",
    no: "flag",
    lifetime: "value",
    vv: "flag",
  });
  options.positionals([]);
  const file = options.text("f");
  if (file === undefined) throw new NxError("NX_USAGE", `-f FILE is missing: wanted ${usage}`);
  const { realWorld } = await import("../../core/seams/world-real.ts");
  const { net: plain, clock, disk } = realWorld();
  const path = resolve(call.workingDirectory, file);
  const yaml = await readSmallFile(disk, path);
  if (yaml === undefined) throw new NxError("NX_USAGE", `-f: there is no file ${path}`);
  const config = parseWorkerConfig(file, Buffer.from(yaml).toString());
  const net = controllerNet(plain, clock, call.environment);
  const controller = (at: { host: string; port: number }) =>
    new Controller({ net, clock, ...at, clientId: hostname(), timeoutMs: config.timeoutMs });
  const say = (text: string) =>
    call.stdout.write(`${listingTime(Math.floor(clock.nowMs() / 1000))} ${text}\n`);
  const archive = controller(config.archive);
  const worker = new ArchiveWorker({ clock, config, archive, replica: controller, say });
  if (options.has("step") || options.has("no")) {
    await worker.step(options.has("no"));
    await worker.settled();
    return 0;
  }
  const lifetimeMs = options.number("lifetime", 0) * 1000;
  const startMs = clock.monotonicMs();
  await untilEnd(worker, () => lifetimeMs > 0 && clock.monotonicMs() - startMs >= lifetimeMs);
  return 0;
}

export const workerVerb = defineVerb({
  name: "worker",
  summary: "Apply, merge and replicate on an archive of a WalB group, as walb-worker's YAML file says",
  description: `${usage}. An archive of node-x can do the same by itself: its key maintenance.`,
  passesOptions: true,
  examples: [{ command: "node-x walb worker -f worker.yaml -no", shows: "Say what is due, and do nothing" }],
  run: (call) => runWalbWorker(call.rest, call),
});
