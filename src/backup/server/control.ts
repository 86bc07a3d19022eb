/**
 * The control protocols that all servers have: `get`, `status`, `version`, `sleep`, `shutdown`, and commands that take a
 * list of words and answer `ok` or `accept`.
 */
import { runCommand } from "../../core/kernel/run-command.ts";
import { buildInfo } from "../../core/build-info.ts";
import { type Clock, sleep } from "../../core/seams/clock.ts";
import type { KeepAlive } from "../../core/seams/net.ts";
import { listingTime } from "../formats/units.ts";
import { Writer } from "../wire/serial.ts";
import { execProtocol } from "./exec.ts";
import { ack, type Protocol, Refusal, type ServerCall, type WalbServer } from "./server.ts";

export type GetValue = number | bigint | string | string[];
/** Answers a `get`; the arguments are the words behind the target. */
export type GetTarget = (args: string[]) => GetValue | Promise<GetValue>;

export interface ControlOptions {
  clock: Clock;
  server(): WalbServer;
  targets: Record<string, GetTarget>;
  status(volume: string | undefined): Promise<string[]> | string[];
  onShutdown(isForced: boolean): void;
  /** Commands are run for the controller. */
  allowsExec: boolean;
}

/** The line of a status about probing silent peers. */
export function keepAliveText(keepAlive: KeepAlive | undefined): string {
  if (keepAlive === undefined) return "keepAlive OFF";
  const { idleSeconds, intervalSeconds, probes } = keepAlive;
  return `keepAlive ON idle ${idleSeconds} intvl ${intervalSeconds} cnt ${probes}`;
}

/** How far another server has come with a volume, and how far we have. */
export interface Lag {
  volume: string;
  kind: "storage" | "archive";
  ours: { gid: bigint; timestamp: number };
  archive: string;
  theirs: { gid: bigint; timestamp: number };
}

/** A line of `get ts-delta`. */
export function lagText({ volume, kind, ours, archive, theirs }: Lag): string {
  return [
    ...[`name:${volume}`, `dest:${archive}`, `kind:${kind}`, "dest_kind:archive"],
    ...[`gid:${ours.gid}`, `ts:${listingTime(ours.timestamp)}`],
    ...[`dest_gid:${theirs.gid}`, `dest_ts:${listingTime(theirs.timestamp)}`],
    `ts_delta:${ours.timestamp - theirs.timestamp}`,
  ].join("\t");
}

/** A command word list of which `least` must be there. */
export function wordsAtLeast(words: string[], least: number): string[] {
  const missing = Array.from({ length: least }, (_, index) => index).filter(
    (index) => (words[index] ?? "") === "",
  );
  if (missing.length > 0) throw new Refusal(`missing required params: ${missing.join(" ")}`);
  return words;
}

/** A number of a command. */
export function gidOf(text: string): bigint {
  if (!/^\d{1,20}$/.test(text)) throw new Refusal(`bad gid:${text}`);
  return BigInt(text);
}

const VOLUME = /^[0-9A-Za-z-]{1,64}$/;

export function volumeOf(text: string | undefined): string {
  if (text === undefined || !VOLUME.test(text)) throw new Refusal(`bad volume id:${text ?? ""}`);
  return text;
}

/** A command that answers `ok` when it is done. */
export function command(run: (words: string[], call: ServerCall) => Promise<void>): Protocol {
  return async (call) => {
    await run(await call.reader.texts(), call);
    await call.answer("ok");
  };
}

/** A command that answers `accept` once it is certain that it can be begun, and goes on by itself. */
export function longCommand(
  begin: (words: string[], call: ServerCall) => Promise<() => Promise<void>>,
): Protocol {
  return async (call) => {
    const work = await begin(await call.reader.texts(), call);
    // It is begun: who asked may be gone.
    await call.answer("accept").catch(() => undefined);
    call.conversation.end();
    await work();
  };
}

export function controlProtocols(options: ControlOptions): Record<string, Protocol> {
  const { clock, server, targets, status, onShutdown, allowsExec } = options;
  return {
    ...(allowsExec && { exec: execProtocol(runCommand) }),
    async get(call) {
      const [target, ...args] = await call.reader.texts();
      if (target === undefined) throw new Refusal("runGetCommandServer:no target specified");
      if (!Object.hasOwn(targets, target)) throw new Refusal(`runGetCommandServer:no such target:${target}`);
      const value = await (targets[target] as GetTarget)(args);
      server().statistics.addGet(target, call.clientId);
      await call.answer("ok");
      const writer = new Writer();
      if (Array.isArray(value)) writer.texts(value);
      else if (typeof value === "string") writer.text(value);
      else writer.u64(value);
      await call.send(ack(writer));
    },
    async status(call) {
      const [volume] = await call.reader.texts();
      const lines = await status(volume);
      await call.answer("ok");
      await call.send(ack(new Writer().texts(lines)));
    },
    async version(call) {
      call.isAnswered = true;
      const { version, commit } = buildInfo;
      await call.send(
        new Writer().text(`version:node-x-${version}\tbuild_date:---\tlog_version:2\tcommit:${commit}`),
      );
    },
    async sleep(call) {
      const seconds = await call.reader.count(3600, "the seconds to sleep");
      // Nobody waits for who sleeps for nobody, least of all a server that stops.
      const left = new AbortController();
      call.conversation.onClose = () => left.abort();
      await sleep(clock, seconds * 1000, left.signal);
      await call.answer("ok");
    },
    async shutdown(call) {
      const isForced = await call.reader.bool();
      await call.answer("accept");
      call.conversation.end();
      onShutdown(isForced);
    },
  };
}
