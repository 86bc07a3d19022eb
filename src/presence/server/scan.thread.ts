/**
 * The thread behind the event loop: scans databases and builds them.
 *
 * Keeps the databases that it was asked about mapped until it is told to forget them.
 */
import { mapFile } from "../../core/seams/mapped-file.ts";
import { serveCalls } from "../../core/threads/thread-calls.ts";
import { multiplyInto } from "../../native/gf8.ts";
import { concat } from "../protocol/bytes.ts";
import { buildDatabase } from "./build-database.ts";
import type { AnswerJob, AnswerReply, Job } from "./jobs.ts";

const mapped = new Map<string, Uint8Array>();

function tableOf(path: string): Uint8Array {
  const known = mapped.get(path);
  if (known !== undefined) return known;
  const table = mapFile(path);
  mapped.set(path, table);
  return table;
}

function answer(job: AnswerJob): AnswerReply {
  const { partitions, rows, rowBytes, queries, queriesPerPartition: count, cancel } = job;
  const table = tableOf(job.path);
  const answers = new Uint8Array(partitions * count * rowBytes);
  for (let partition = 0; partition < partitions; partition++) {
    const isDone = multiplyInto(
      answers.subarray(partition * count * rowBytes, (partition + 1) * count * rowBytes),
      {
        table: table.subarray(partition * rows * rowBytes, (partition + 1) * rows * rowBytes),
        rows,
        rowBytes,
        queries: queries.subarray(partition * count * rows, (partition + 1) * count * rows),
        count,
        cancel,
      },
    );
    if (!isDone) return { answers: undefined };
  }
  return { answers };
}

serveCalls((job: Job) => {
  switch (job.kind) {
    case "answer": {
      const reply = answer(job);
      return { reply, transfer: reply.answers === undefined ? [] : [reply.answers.buffer] };
    }
    case "build": {
      const reply = buildDatabase(concat(...job.chunks), job.spec);
      return { reply, transfer: [reply.data.buffer] };
    }
    case "forget":
      mapped.delete(job.path);
      return { reply: undefined };
  }
});
