/** fio with its NBD engine: one load on one server, and what it says of it. */
import { NxError } from "../../src/core/errors.ts";

export interface FioLoad {
  name: string;
  pattern: "randwrite" | "randread" | "write";
  blockBytes: number;
  depth: number;
  /** A flush after so many writes. */
  flushEach?: number;
}

export interface FioSample {
  perSecond: number;
  megabytesPerSecond: number;
  p99Ms: number;
}

interface Side {
  iops: number;
  bw_bytes: number;
  clat_ns: { percentile?: Record<string, number> };
}

/** Runs one load for `seconds` over the first `mib` of an export. Throws when nothing was done: fio itself does not. */
export async function fio(
  uri: string,
  load: FioLoad,
  { mib, seconds }: { mib: number; seconds: number },
): Promise<FioSample> {
  const { pattern, blockBytes, depth, flushEach } = load;
  const command = [
    "fio", "--name=bench", "--ioengine=nbd", `--uri=${uri}`, `--rw=${pattern}`, `--bs=${blockBytes}`, `--iodepth=${depth}`,
    `--size=${mib}m`, "--time_based", `--runtime=${seconds}`, "--randrepeat=1", "--output-format=json",
    ...(flushEach === undefined ? [] : [`--fsync=${flushEach}`]),
  ]; // prettier-ignore
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const output = await new Response(child.stdout).text();
  const code = await child.exited;
  // The engine's own line comes before the JSON.
  const at = output.indexOf("{");
  const job =
    at < 0 ? undefined : (JSON.parse(output.slice(at)) as { jobs: { read: Side; write: Side }[] }).jobs[0];
  const side = pattern === "randread" ? job?.read : job?.write;
  if (code !== 0 || side === undefined || side.iops === 0)
    throw new NxError(
      "NX_INTERNAL",
      `fio did nothing on ${uri}: ${await new Response(child.stderr).text()}${output.slice(0, 500)}`,
    );
  return {
    perSecond: side.iops,
    megabytesPerSecond: side.bw_bytes / 1e6,
    p99Ms: (side.clat_ns.percentile?.["99.000000"] ?? Number.NaN) / 1e6,
  };
}
