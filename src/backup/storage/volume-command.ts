/**
 * The protocol `volume`, ours: makes, lists, grows and removes the volumes of a storage that runs.
 *
 *   client: words: create NAME SIZE|/dev/… LOGSIZE [PHYSICAL] | list | resize NAME SIZE | delete NAME
 *   server: "ok", lines, acknowledgement
 */
import { NxError } from "../../core/errors.ts";
import { parseSize, sizeText } from "../formats/units.ts";
import { ack, type Protocol, Refusal } from "../server/server.ts";
import { Writer } from "../wire/serial.ts";
import type { Volumes } from "../volume/volumes.ts";
import type { StorageVolume } from "./volume.ts";

const DEFAULT_PHYSICAL_BYTES = 4096;

function sizeOf(text: string | undefined): number {
  const size = parseSize(text ?? "");
  if (size === undefined) throw new Refusal(`a size such as 64M is wanted, not "${text ?? ""}"`);
  return size;
}

export interface VolumeCommandOptions {
  volumes: Volumes;
  /** The backup of a volume, by the volume's own name. */
  backupsOf(name: string): StorageVolume[];
}

export function volumeCommand({ volumes, backupsOf }: VolumeCommandOptions): Protocol {
  const list = () =>
    [...volumes.all.values()].map(({ engine, clients }) => {
      const { name, bytes, ringBlocks, physicalBytes, usage, failure, stalled } = engine;
      const logBytes = Number(ringBlocks) * physicalBytes;
      const backups = backupsOf(name);
      const state = backups.map((each) => `${each.name}:${each.state}`).join(",");
      const hasOverflow = backups.some(({ isOverflow }) => isOverflow);
      const trouble = failure?.message ?? stalled ?? (hasOverflow ? "log overflow" : "");
      return [
        `name:${name}`,
        `size:${sizeText(bytes)}`,
        `log_size:${logBytes}`,
        `log_usage:${Number(usage) * physicalBytes}`,
        `clients:${clients}`,
        `backup:${state === "" ? "none" : state}`,
        `trouble:${trouble === "" ? "none" : trouble}`,
      ].join("\t");
    });
  const create = async (name: string, [image = "", logSize, physical]: string[]) => {
    const physicalBytes = physical === undefined ? DEFAULT_PHYSICAL_BYTES : sizeOf(physical);
    const shape = { logBytes: sizeOf(logSize), physicalBytes };
    if (image.startsWith("/")) await volumes.createOn(name, image, shape);
    else await volumes.create(name, { ...shape, bytes: sizeOf(image) });
  };
  const run = async ([verb, name = "", ...rest]: string[]): Promise<string[]> => {
    switch (verb) {
      case "list":
        return list();
      case "create":
        await create(name, rest);
        return [];
      case "resize":
        await volumes.grow(name, sizeOf(rest[0]));
        return [];
      case "delete":
        if (backupsOf(name).length > 0)
          throw new Refusal(`${name} is backed up: stop, reset-vol and clear-vol come first`);
        await volumes.delete(name);
        return [];
      default:
        throw new Refusal(`volume: wanted create, list, resize or delete, got "${verb ?? ""}"`);
    }
  };
  return async (call) => {
    let lines: string[];
    try {
      lines = await run(await call.reader.texts());
    } catch (error) {
      // What the user can mend is told word for word.
      throw error instanceof NxError && ["NX_USAGE", "NX_DISK_FAILED"].includes(error.code)
        ? new Refusal(error.message)
        : error;
    }
    await call.answer("ok");
    await call.send(ack(new Writer().texts(lines)));
  };
}
