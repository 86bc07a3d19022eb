/**
 * One run of a receiver: listens, keeps or prints what comes, judges it while it comes, ends when everything that was
 * expected is there.
 *
 * Invariant: the verdict is about bytes that are in the file (framed) or committed (two-phase), in the order in which a
 * reader of the result would see them.
 */
import type { World } from "../../core/role.ts";
import { textOf, WireError } from "../wire/bytes.ts";
import { SequenceJudge, type SequenceRules, type Violation } from "../validate/sequence.ts";
import { parseWindow } from "../validate/window-text.ts";
import { judgePart, verdictOf, verifyParts, type OutputPart, type Verdict } from "../validate/verify.ts";
import type { Address } from "../sender/line.ts";
import { committedPart, committedParts } from "./committed.ts";
import { FrameReceiver } from "./frame-receiver.ts";
import { AppendFile } from "../append-file.ts";
import { TwoPhaseReceiver } from "./two-phase-receiver.ts";

export interface SessionOptions {
  world: Pick<World, "net" | "clock" | "disk">;
  address: Address;
  protocol: "framed" | "two-phase";
  /** framed: the file that gets the frames, headers included; undefined: kept nowhere. two-phase: the directory. */
  out: string | undefined;
  /** Judged when given. */
  rules: SequenceRules | undefined;
  /** 0: for ever. */
  timeoutMs: number;
  /** A run that has everything ends behind this: until then more may come, which would be wrong. */
  notBefore?: Promise<void>;
  bodyBytesMax: number;
  bytesPerSecondMax: number;
  /** A body, without its header; valid during the call. */
  onBody?(body: Uint8Array): void;
  onListening(port: number): void;
  /** So many records are in the file (framed) or committed (two-phase, where they are judged). */
  onProgress?(records: number): void;
  onProblem(text: string): void;
  interrupted: AbortSignal;
}

export interface SessionReport {
  /** Why it ended. */
  end: "complete" | "violation" | "timeout" | "interrupted";
  seconds: number;
  connects: number;
  frames: number;
  bytes: number;
  /** Frames that a connection left unfinished. */
  torn: number;
  commits: number;
  rollbacks: number;
  refusals: number;
  verdict: Verdict | null;
}

/** Bytes that wait to be written before the sockets are no longer read from. */
const WAITING_BYTES_MAX = 16 * 1024 * 1024;
const FLUSH_MS = 20;

type End = SessionReport["end"];

export async function receive(options: SessionOptions): Promise<SessionReport> {
  const { clock } = options.world;
  const startMs = clock.monotonicMs();
  const { promise: ended, resolve } = Promise.withResolvers<End>();
  const end = (why: End) => {
    if (why === "complete" && options.notBefore !== undefined)
      void options.notBefore.then(() => resolve(why));
    else resolve(why);
  };
  const timer = options.timeoutMs === 0 ? undefined : clock.after(options.timeoutMs, () => end("timeout"));
  const interrupt = () => end("interrupted");
  options.interrupted.addEventListener("abort", interrupt);
  try {
    const run = options.protocol === "framed" ? receiveFrames : receiveTransactions;
    const figures = await run(options, ended, end);
    return { seconds: (clock.monotonicMs() - startMs) / 1000, ...figures };
  } finally {
    timer?.cancel();
    options.interrupted.removeEventListener("abort", interrupt);
  }
}

type Figures = Omit<SessionReport, "seconds">;

async function receiveFrames(
  options: SessionOptions,
  ended: Promise<End>,
  end: (why: End) => void,
): Promise<Figures> {
  const { world, out, rules, address, bodyBytesMax, bytesPerSecondMax, onBody, onProblem } = options;
  const file = out === undefined ? undefined : await AppendFile.open(world.disk, out);
  const judge = rules === undefined ? undefined : new SequenceJudge(rules);
  let violation: Violation | undefined;
  const receiver = new FrameReceiver({
    ...{ world, address, bodyBytesMax, bytesPerSecondMax, onProblem },
    onFrame(bytes, start, bodyStart, bodyEnd) {
      const offset = file?.bytes ?? receiver.bytes;
      file?.append(bytes.subarray(start, bodyEnd));
      if ((file?.waitingBytes ?? 0) > WAITING_BYTES_MAX) receiver.hold();
      const body = bytes.subarray(bodyStart, bodyEnd);
      onBody?.(body);
      options.onProgress?.(receiver.frames);
      if (judge === undefined || violation !== undefined) return;
      violation = judgeBody(judge, body, { source: out ?? "the connection", offset });
      if (violation !== undefined) end("violation");
      else if (rules !== undefined && rules.expected > 0 && judge.reached >= rules.expected) end("complete");
    },
  });
  const flusher = world.clock.every(FLUSH_MS, () => {
    if (file === undefined || file.waitingBytes === 0) return;
    file.flush().then(
      () => receiver.release(),
      (error: Error) => {
        onProblem(error.message);
        end("interrupted");
      },
    );
  });
  try {
    options.onListening(await receiver.listen());
    const why = await ended;
    await file?.sync();
    const { connects, frames, bytes, torn } = receiver;
    const verdict = judge === undefined ? null : verdictOf(judge, violation ?? judge.end());
    return { end: why, connects, frames, bytes, torn, commits: 0, rollbacks: 0, refusals: 0, verdict };
  } finally {
    flusher.cancel();
    receiver.close();
    await file?.close();
  }
}

function judgeBody(
  judge: SequenceJudge,
  body: Uint8Array,
  place: { source: string; offset: number },
): Violation | undefined {
  try {
    return judge.judge(parseWindow(textOf(body)), place);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return { rule: "record", text: error.message, place };
  }
}

async function receiveTransactions(
  options: SessionOptions,
  ended: Promise<End>,
  end: (why: End) => void,
): Promise<Figures> {
  const { world, address, rules, onProblem } = options;
  const directory = options.out as string;
  const watch = rules === undefined ? undefined : new CommitWatch(options, directory, rules, end);
  await watch?.begin();
  const receiver = new TwoPhaseReceiver({
    ...{ world, address, directory, onProblem },
    onCommit: (worker, _transaction, start, stop) => watch?.committed(worker, start, stop),
  });
  try {
    options.onListening(await receiver.listen());
    const why = await ended;
    const { connects, commits, rollbacks, refusals, committedBytes: bytes } = receiver;
    // The verdict is about the files, not about what went by.
    const verdict =
      rules === undefined ? null : await verifyParts(await committedParts(world.disk, directory), rules);
    const frames = verdict?.records ?? 0;
    return { end: why, connects, frames, bytes, torn: 0, commits, rollbacks, refusals, verdict };
  } finally {
    await receiver.close();
  }
}

/** Judges commits as they come, so that a run ends when everything is there, or at its first violation. */
class CommitWatch {
  readonly #options: SessionOptions;
  readonly #directory: string;
  readonly #rules: SequenceRules;
  readonly #judge: SequenceJudge;
  readonly #end: (why: End) => void;
  #work: Promise<void> = Promise.resolve();

  constructor(options: SessionOptions, directory: string, rules: SequenceRules, end: (why: End) => void) {
    this.#options = options;
    this.#directory = directory;
    this.#rules = rules;
    this.#judge = new SequenceJudge(rules);
    this.#end = end;
  }

  /** Judges what is there from an earlier run. */
  async begin(): Promise<void> {
    const { disk } = this.#options.world;
    if (!(await disk.exists(this.#directory))) return;
    for (const part of await committedParts(disk, this.#directory)) this.#then(part);
    await this.#work;
  }

  committed(worker: string, start: number, stop: number): void {
    this.#then(committedPart(this.#options.world.disk, this.#directory, worker, start, stop));
  }

  #then(part: OutputPart): void {
    this.#work = this.#work
      .then(async () => {
        const violation = await judgePart(this.#judge, part);
        this.#options.onProgress?.(this.#judge.records);
        if (violation !== undefined) this.#end("violation");
        else if (this.#rules.expected > 0 && this.#judge.reached >= this.#rules.expected)
          this.#end("complete");
      })
      .catch((error: Error) => this.#options.onProblem(error.message));
  }
}
