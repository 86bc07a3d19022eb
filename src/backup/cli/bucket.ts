/**
 * Buckets on the command line: `walb restore -from s3://…`, `walb verify s3://…` and `walb bucket list s3://…` ask a store
 * directly, without any server of ours.
 */
import { resolve } from "node:path";
import { Exit, NxError } from "../../core/errors.ts";
import { alignColumns, printJson } from "../../core/print.ts";
import { progressLine } from "../../core/progress-line.ts";
import { realClock } from "../../core/seams/clock.ts";
import { openS3 } from "../../core/seams/object-store-s3.ts";
import type { ObjectStore } from "../../core/seams/object-store.ts";
import { type Call, defineVerb, type Surroundings } from "../../core/verb.ts";
import type { RestorePoint } from "../algebra/snapshot.ts";
import { placeOf } from "../bucket/place.ts";
import { manifestOf, pointBefore, pointsOf, volumesIn } from "../bucket/reading.ts";
import { restoreFromBucket } from "../bucket/restore.ts";
import { verifyBucket } from "../bucket/verify.ts";
import { parseMoment } from "../client/points.ts";
import { listingTime, sizeText } from "../formats/units.ts";
import { withFiles } from "./files.ts";
import { type OptionKind, type Options, parseOptions, wanted } from "./options.ts";

export const bucketOptions: Record<string, OptionKind> = {
  endpoint: "value",
  region: "value",
  addressing: "value",
  credentials: "value",
  timeout: "value",
};

export const bucketUsage = [
  "-endpoint URL: the store; without it AWS",
  "-region NAME",
  "-addressing path|host (path)",
  "-credentials FILE: JSON as in docs/object-storage.md; without it AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
  "-timeout SECONDS of one request (60)",
];

/** Opens what `url` and the options name. */
export function openBucket(url: string, options: Options, call: Surroundings): ObjectStore {
  const addressing = options.text("addressing", "path");
  if (addressing !== "path" && addressing !== "host") throw wanted("-addressing", "path or host", addressing);
  const file = options.text("credentials");
  const words = {
    ...({ url, addressing, endpoint: options.text("endpoint"), region: options.text("region") } as const),
    timeoutMs: options.number("timeout", 60) * 1000,
    credentialsFile: file === undefined ? undefined : resolve(call.workingDirectory, file),
  };
  return openS3(placeOf(words, call.environment), realClock);
}

/** `GID`, `at TIME` or nothing: the newest. */
function chooser(
  volume: string,
  [word, moment]: string[],
): (points: readonly RestorePoint[]) => RestorePoint {
  return (points) => {
    const newest = points.at(-1);
    if (newest === undefined)
      throw new NxError("NX_NOT_READY", `${volume} has no clean point in the bucket yet`, {
        hint: "the first diff after a full copy makes one",
      });
    if (word === undefined) return newest;
    if (word === "at") {
      const seconds = parseMoment(moment ?? "", Math.floor(realClock.nowMs() / 1000));
      if (seconds === undefined)
        throw wanted("at", "a moment such as 2026-11-22T08:22:06 or -90m", moment ?? "");
      return pointBefore(volume, points, seconds);
    }
    const found = points.find(({ gid }) => String(gid) === word);
    if (found !== undefined) return found;
    throw new NxError("NX_USAGE", `${volume} has no point ${word} in the bucket`, {
      hint: `there are ${points
        .slice(-10)
        .map(({ gid }) => gid)
        .join(", ")}; node-x walb bucket list shows all`,
    });
  };
}

export async function restoreVerb(call: Call): Promise<number> {
  const options = parseOptions(call.rest, { ...bucketOptions, from: "value", o: "value" });
  const [volume = "", ...moment] = options.words;
  const output = options.text("o");
  if (volume === "" || output === undefined)
    throw new NxError("NX_USAGE", "wanted: restore -from s3://BUCKET/PREFIX VOL [GID | at TIME] -o FILE");
  const store = openBucket(options.text("from", ""), options, call);
  const progress = progressLine(call.stderr, realClock);
  return await withFiles(call, async (files) => {
    const { disk, random } = files.world;
    try {
      const { gid, timestamp, bytes, bytesRead } = await restoreFromBucket({
        ...{ disk, random, store, volume },
        path: files.path(output),
        choose: chooser(volume, moment),
        onProgress: (text) => progress.show(`${volume}: ${text}`),
      });
      progress.end();
      if (options.has("json"))
        printJson(call.stdout, { gid: Number(gid), time: timestamp, bytes, bytesRead });
      else call.stdout.write(`${gid}\n`);
      return Exit.ok;
    } finally {
      progress.end();
    }
  });
}

export async function verifyBucketAt(url: string, options: Options, call: Call): Promise<number> {
  const progress = progressLine(call.stderr, realClock);
  const { volumes, findings } = await verifyBucket(openBucket(url, options, call), (text) =>
    progress.show(text),
  ).finally(() => progress.end());
  if (options.has("json")) printJson(call.stdout, { ok: findings.length === 0, volumes, findings });
  else {
    for (const { path, problem } of findings) call.stderr.write(`damaged: ${path}: ${problem}\n`);
    for (const { name, newest, diffs, objects, bytes, stray } of volumes)
      call.stdout.write(
        `${name}@${newest}: ${objects} objects, ${bytes} bytes, ${diffs} diffs; ${stray} objects that nothing names\n`,
      );
    call.stdout.write(`${volumes.length} volumes read, ${findings.length} problems\n`);
  }
  return findings.length === 0 ? Exit.ok : Exit.dataError;
}

const list = defineVerb({
  name: "list",
  summary: "List the volumes of a bucket and the points that can be restored from there",
  description: `s3://BUCKET/PREFIX [VOL]; ${bucketUsage.join("; ")}; -json.`,
  passesOptions: true,
  examples: [{ command: "node-x walb bucket list s3://backups/archive0", shows: "What can be restored" }],
  async run(call) {
    const options = parseOptions(call.rest, bucketOptions);
    const [url = "", only] = options.positionals(["s3://BUCKET/PREFIX", "VOL"], 1);
    const store = openBucket(url, options, call);
    const rows: { volume: string; gid: number; time: number; isKept: boolean; bytes: number }[] = [];
    for (const volume of only === undefined ? await volumesIn(store) : [only]) {
      const manifest = await manifestOf(store, volume);
      for (const { gid, timestamp, isExplicit } of pointsOf(manifest))
        rows.push({
          volume,
          gid: Number(gid),
          time: timestamp,
          isKept: isExplicit,
          bytes: manifest.imageBytes,
        });
    }
    if (options.has("json")) printJson(call.stdout, rows);
    else {
      const cells = rows.map(({ volume, gid, time, isKept, bytes }) => [
        volume,
        String(gid),
        listingTime(time),
        isKept ? "kept" : "",
        sizeText(bytes),
      ]);
      call.stdout.write(
        `${alignColumns([["VOLUME", "GID", "TIME (UTC)", "", "SIZE"], ...cells]).join("\n")}\n`,
      );
    }
    return Exit.ok;
  },
});

export const bucketVerb = defineVerb({
  name: "bucket",
  summary: "What an archive has in a bucket of an S3-compatible store",
  examples: [{ command: "node-x walb bucket list s3://backups/archive0", shows: "What can be restored" }],
  subVerbs: { list: async () => list },
});
