/** The object store of `bun run bench s3` as a process of its own: s3rver on a directory. Prints its endpoint. */
import { startS3rver } from "../backup/bucket/s3rver.ts";

const { endpoint } = await startS3rver(process.argv[2] as string);
console.log(endpoint);
