/**
 * s3rver, somebody else's S3-compatible server, on loopback. It speaks the wire; it compares no signatures of version 4 and
 * knows no conditions, which fake-s3.ts does. It answers a put before the object's file is written, so that a reader who
 * comes at once may find less: here the answer waits for the file.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import S3rver from "s3rver";
import { BUCKET } from "./fake-s3.ts";
import { until } from "../group.ts";

export interface RunningS3 extends AsyncDisposable {
  endpoint: string;
}

export async function startS3rver(directory: string): Promise<RunningS3> {
  const server = new S3rver({
    ...{ port: 0, address: "127.0.0.1", silent: true },
    directory: join(directory, "s3rver"),
    configureBuckets: [{ name: BUCKET, configs: [] }],
  });
  const { store } = server;
  const put = store.putObject.bind(store);
  store.putObject = async (object) => {
    const result = await put(object);
    const path = store.getResourcePath(object.bucket, object.key, "object");
    const sum = () => createHash("md5").update(readFileSync(path)).digest("hex");
    await until(async () => sum() === result.md5, `${object.key} written by s3rver`);
    return result;
  };
  const { port } = await server.run();
  return {
    endpoint: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      await server.close();
    },
  };
}
