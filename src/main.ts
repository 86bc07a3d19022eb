/** Placeholder until the command line lands. */
import { link } from "./native/library.ts";
import { buildInfo } from "./core/build-info.ts";
const zstd = await import("zstd-napi");
console.log(buildInfo, link({ nx_abi: { args: [], returns: "u32" } }).nx_abi(), zstd.decompress(zstd.compress(Buffer.from("hello"))).toString());
