/** An archive with a bucket inside the test's process, and what tests of it share. */
import { expect } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cli, type CliResult } from "../../cli/helpers.ts";
import { Group, until } from "../group.ts";
import type { Running } from "../servers.ts";
import { BUCKET, CREDENTIALS } from "./fake-s3.ts";

export const URL_OF_BUCKET = `s3://${BUCKET}/archive0`;
export const PART_BYTES = 65536;

export class BucketGroup extends Group {
  readonly endpoint: string;

  constructor(directory: string, seed: number, endpoint: string) {
    super(directory, seed);
    this.endpoint = endpoint;
    writeFileSync(this.credentials, JSON.stringify(CREDENTIALS), { mode: 0o600 });
  }

  get credentials(): string {
    return join(this.directory, "credentials.json");
  }

  bucket(more: Record<string, unknown> = {}): Record<string, unknown> {
    return {
      ...{ url: URL_OF_BUCKET, endpoint: this.endpoint, credentialsFile: this.credentials },
      ...{ partBytes: PART_BYTES, intervalMs: 10, keepUnused: "0", ...more },
    };
  }

  bucketed(name = "a0", more: Record<string, unknown> = {}): Promise<Running> {
    return this.archive(name, { bucket: this.bucket(more) });
  }

  /** `node-x walb WORDS…` with the bucket's options. */
  walb(...words: string[]): Promise<CliResult> {
    const options = ["-endpoint", this.endpoint, "-credentials", this.credentials];
    mkdirSync(join(this.directory, "out"), { recursive: true });
    return cli(["walb", ...words, ...options], { cwd: join(this.directory, "out") });
  }

  /** Every object is whole; what is used by nothing goes a moment after the manifest has let go of it. */
  verifiesClean(): Promise<void> {
    return until(async () => {
      const { code, stdout } = await this.walb("verify", URL_OF_BUCKET);
      expect(code).toBe(0);
      expect(stdout).toContain(" 0 problems");
      return stdout.includes("; 0 objects that nothing names");
    }, "a bucket without objects that nothing names");
  }

  out(name: string): string {
    return join(this.directory, "out", name);
  }
}

export interface BucketStats {
  objectsPut: number;
  objectsFound: number;
  objectsRemoved: number;
  bytesPut: number;
  volumes: {
    name: string;
    diffsMissing: number;
    isBaseMissing: boolean;
    failures: number;
    error: string | null;
    lastInStep: number;
  }[];
}

export const bucketStats = ({ role }: Running) => role.stats().bucket as unknown as BucketStats;

/** The bucket lacks nothing, and nothing is left to be removed. */
export const inStep = (archive: Running) =>
  until(async () => {
    const [volume] = bucketStats(archive).volumes;
    return (
      volume !== undefined &&
      volume.lastInStep > 0 &&
      volume.diffsMissing === 0 &&
      !volume.isBaseMissing &&
      volume.error === null
    );
  }, "the bucket in step");
