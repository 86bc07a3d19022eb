/**
 * The files of a dump directory, told from their names alone.
 *
 *   <ch>.tcm                  the dump of channel <ch>; always complete
 *   <ch>.tcm.backup           the dump before it (a second name of the same file while the new one is named)
 *   <ch>.nxs                  what the `.tcm` cannot carry (side-file.ts), with its own `.nxs.backup`
 *   <ch>.nxs.new              complete, belongs to a `.tcm` that is about to get its name, or just got it
 *   <ch>.tcm.dumpingXXXXXX    unfinished; so is <ch>.tcm.XXXXXX.dumping of the later originals, and .nxs.dumpingXXXXXX
 *   *.deleted                 of a channel that was removed
 *   *.imported, *.superseded  of a dump that a log has taken over, or has overruled
 *
 * Invariant: nothing but `<ch>.tcm` and its `.nxs` is ever loaded.
 */
const NAME_BYTES_MAX = 255;
const SUFFIX_BYTES_MAX = ".tcm.dumpingXXXXXX".length;
const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

export const tcmName = (channel: string) => `${channel}.tcm`;
export const sideName = (channel: string) => `${channel}.nxs`;
export const nextSideName = (channel: string) => `${channel}.nxs.new`;

/** A name for an unfinished file. That of a very long channel is shortened: file systems take 255 bytes. */
export function temporaryName(
  channel: string,
  suffix: "tcm" | "nxs",
  random: { integer(limit: number): number },
) {
  const letters = Array.from({ length: 6 }, () => LETTERS[random.integer(LETTERS.length)]).join("");
  return `${channel.slice(0, NAME_BYTES_MAX - SUFFIX_BYTES_MAX)}.${suffix}.dumping${letters}`;
}

/** The unfinished file of dhtdump; the next attempt takes the same one, so none is left behind for ever. */
export const dhtdumpTemporaryName = (channel: string) =>
  `${channel.slice(0, NAME_BYTES_MAX - ".tcm.nodexd.dumping".length)}.tcm.nodexd.dumping`;

/** dhtdump holds it while it writes to a directory. */
export const DHTDUMP_LOCK = "dhtdump.lock";

/** Where a file goes that is set aside; undefined when no file system takes that name. */
export function asideName(name: string, reason: "deleted" | "imported" | "superseded"): string | undefined {
  const aside = `${name}.${reason}`;
  return aside.length <= NAME_BYTES_MAX ? aside : undefined;
}

export type DumpFileKind =
  /** `<ch>.tcm` */
  | "dump"
  /** `.nxs` and `.nxs.new` */
  | "side"
  /** A leftover of a dump that did not finish. */
  | "interrupted"
  /** Backups, and what the instance keeps in its directory besides. */
  | "expected"
  /** Set aside by us on purpose. */
  | "aside"
  | "foreign";

const OWN =
  /^(lock|dhtdump\.lock|(ports|hash-range)\.json(\.tmp)?|(hash-seed|promoted)(\.tmp)?|admin\.sock|log|store(\.imported-\d+)?|crash-.*\.json|(root|stats|version)\.log.*)$/;
const CHANNEL = /^[A-Za-z0-9_-]{1,240}$/;

export interface DumpFile {
  name: string;
  kind: DumpFileKind;
  /** Of "dump" and "side". */
  channel: string;
}

export function classify(name: string): DumpFile {
  const of = (kind: DumpFileKind, channel = ""): DumpFile => ({
    name,
    kind,
    channel,
  });
  const [, channel = "", suffix] = /^(.*?)\.(tcm|nxs|nxs\.new)$/.exec(name) ?? [];
  if (suffix !== undefined) {
    if (!CHANNEL.test(channel)) return of("foreign");
    return of(suffix === "tcm" ? "dump" : "side", channel);
  }
  if (/\.(tcm|nxs)\.dumping[^.]{6}$|\.tcm\.[^.]{6}\.dumping$/.test(name)) return of("interrupted");
  if (name.endsWith(".backup") || OWN.test(name)) return of("expected");
  if (/\.(deleted|imported|superseded)$/.test(name)) return of("aside");
  return of("foreign");
}
