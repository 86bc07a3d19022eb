/** Negative controls of volumes and storages: a line is broken, and the test that guards it turns red. */
import { testMutants } from "../../mutants.ts";

const loss = "test/crash/volume-power-loss.test.ts";
const lives = "a volume survives power loss after power loss";
const wrapping = "a log that wraps";

testMutants(
  [
    {
      breaks: "a flush that does not sync the log",
      file: "src/backup/volume/log-writer.ts",
      from: "const syncing = file.sync().then(",
      to: "const syncing = Promise.resolve().then(",
      noticedBy: [loss, "writes, flushes and overwrites"],
    },
    {
      breaks: "a small write that is acknowledged and not made",
      file: "src/backup/volume/log-writer.ts",
      from: "if (!device.writeNow(batch.first, batch.bytes)) return false;",
      to: "",
      noticedBy: [loss, "writes, flushes and overwrites"],
    },
    {
      breaks: "small files that are replaced at once under one temporary name",
      file: "src/backup/files/volume-files.ts",
      from: "this.#changing.then(() => this.#replace(name, bytes))",
      to: "this.#replace(name, bytes)",
      noticedBy: ["test/backup/files/volume-files.test.ts", "small files that are written at once"],
    },
    {
      breaks: "a damaged part of a base that is given a new checksum",
      file: "src/backup/archive/image-sums.ts",
      from: "isCompared && crc32c(part)",
      to: "false && crc32c(part)",
      noticedBy: ["test/backup/archive/base-sums.test.ts", "a flipped bit is not given"],
    },
    {
      breaks: "a checkpoint that does not sync the data file",
      file: "src/backup/volume/engine.ts",
      from: "if (target === this.#checkpoint) return;\n    await this.#data.sync();",
      to: "if (target === this.#checkpoint) return;",
      noticedBy: [loss, wrapping],
    },
    {
      breaks: "a pack whose data is not compared with its checksum",
      file: "src/backup/volume/recovery.ts",
      from: "!isWhole(pack, record, physicalBytes, salt)",
      to: "!isWhole(pack, record, physicalBytes, salt) && false",
      noticedBy: [loss, wrapping],
    },
    {
      breaks: "what lies behind the end of the log and is left there",
      file: "src/backup/volume/recovery.ts",
      from: "await device.write(lsid, zeros);",
      to: "",
      noticedBy: [loss, lives],
    },
    {
      breaks: "a super block without a copy",
      file: "src/backup/formats/log-device.ts",
      from: "await this.#file.write(bytes, SUPER_OFFSET + superBlock.physicalBytes);\n",
      to: "",
      noticedBy: [loss, wrapping],
    },
    {
      breaks: "a snapshot that is told before the log up to it is durable",
      file: "src/backup/storage/volume.ts",
      from: "      await this.attached.flush();\n",
      to: "",
      noticedBy: [loss, "a storage knows every snapshot"],
    },
    {
      breaks: "a log of another history that is taken for the one to be shipped",
      file: "src/backup/storage/volume.ts",
      from: "(!Buffer.from(engine.uuid).equals(this.uuid) || this.done.lsid > engine.log.written)",
      to: "false",
      noticedBy: [loss, "a storage knows every snapshot"],
    },
    {
      breaks: "a cold snapshot that is kept although what it began with is damaged",
      file: "src/backup/archive/cold.ts",
      from: " && !sums.isDamaged",
      to: "",
      noticedBy: ["test/backup/archive/back-ends.test.ts", "a cold snapshot has checksums"],
    },
    {
      breaks: "a stop that is given up and leaves a volume that ships no more",
      file: "src/backup/storage/commands.ts",
      from: "    onStillTarget(volume);\n",
      to: "",
      noticedBy: ["test/backup/storage/stalls.test.ts", "a stop that is given up"],
    },
    {
      breaks: "a copy that begins with the diffs of another history",
      file: "src/backup/archive/receive.ts",
      from: "        await volume.removePoints();\n",
      to: "",
      noticedBy: ["test/backup/archive/archive.test.ts", "what an interrupted clear-vol left"],
    },
    {
      breaks: "a point that was merged away and reads as the one before it",
      file: "src/backup/algebra/snapshot.ts",
      from: "return isSameSnapshot(chain.reduce(after, snapshot), clean(gid)) ? chain : undefined;",
      to: "return chain;",
      noticedBy: ["test/backup/archive/archive.test.ts", "a hash and a scan of a point that is not there"],
    },
    {
      breaks: "a slow peer that is taken for a silent one",
      file: "src/backup/wire/conversation.ts",
      from: "if (taken === before) this.terminate",
      to: "this.terminate",
      noticedBy: ["test/backup/wire/conversation.test.ts", "a long message over a slow link"],
    },
    {
      breaks: "a point that a rule keeps and a merge takes away",
      file: "src/backup/archive/maintenance/plan.ts",
      from: "new Set([...kept, ",
      to: "new Set([",
      noticedBy: ["test/backup/archive/maintenance.test.ts", "never across a point that the rule keeps"],
    },
    {
      breaks: "a diff that found no space for its name and keeps that of its content",
      file: "src/backup/files/diff-files.ts",
      from: "      await this.#disk.remove(temporary).catch(() => undefined);\n",
      to: "",
      noticedBy: ["test/crash/backup-full-disk.test.ts", "an archive whose disk is full for one call"],
    },
    {
      breaks: "a log that began anew by half and is shipped",
      file: "src/backup/storage/volume.ts",
      from: "    await engine.reset();\n",
      to: "    await engine.reset();\n    this.uuid = engine.uuid.slice();\n",
      noticedBy: ["test/backup/storage/volume.test.ts", "a log that could not begin anew"],
    },
    {
      breaks: "a wait for empty queues that goes on behind the stop that took its place",
      file: "src/backup/proxy/role.ts",
      from: "while (volume.isEmptying && !isEmpty())",
      to: "while (!isEmpty())",
      noticedBy: ["test/backup/proxy/proxy.test.ts", "a stop that waits for empty queues"],
    },
  ],
  ["test", "build.ts"],
);
