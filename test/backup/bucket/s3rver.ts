/**
 * s3rver, somebody else's S3-compatible server, on loopback. It speaks the wire; it compares no signatures of version 4 and
 * knows no conditions, which fake-s3.ts does.
 */
import { join } from "node:path";
import S3rver from "s3rver";
import { BUCKET } from "./fake-s3.ts";

export interface RunningS3 extends AsyncDisposable {
  endpoint: string;
}

export async function startS3rver(directory: string): Promise<RunningS3> {
  const server = new S3rver({
    ...{ port: 0, address: "127.0.0.1", silent: true },
    directory: join(directory, "s3rver"),
    configureBuckets: [{ name: BUCKET, configs: [] }],
  });
  const { port } = await server.run();
  return {
    endpoint: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      await server.close();
    },
  };
}
