/** The compressions of diffs and of data on its way: their numbers, names and the `name:level:threads` of options. */

/** By number, as files and packets carry it. */
export const compressionNames = ["none", "gzip", "snappy", "lzma", "lz4", "zstd"] as const;
export type CompressionName = (typeof compressionNames)[number];

export interface Compression {
  /** 0 to 5, see `compressionNames`. */
  id: number;
  /** 0 (the library's default) to 9. */
  level: number;
  /** At least 1. */
  threads: number;
}

export const snappy: Compression = { id: 2, level: 0, threads: 1 };
export const uncompressed: Compression = { id: 0, level: 0, threads: 1 };

export const compressionName = (id: number): CompressionName | undefined => compressionNames[id];

/** Parses `snappy`, `zstd:3` or `gzip:9:2`; undefined when it is none. */
export function parseCompression(text: string): Compression | undefined {
  const [name = "", level = "0", threads = "1", ...more] = text.split(":");
  const id = (compressionNames as readonly string[]).indexOf(name);
  if (id < 0 || more.length > 0 || !/^\d$/.test(level) || !/^[1-9]\d{0,2}$/.test(threads)) return undefined;
  return Number(threads) <= 255 ? { id, level: Number(level), threads: Number(threads) } : undefined;
}

export function compressionText({ id, level, threads }: Compression): string {
  return `${compressionNames[id]}:${level}:${threads}`;
}
