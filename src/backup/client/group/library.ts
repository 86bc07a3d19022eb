/** What scripts of a backup group import as `node-x/walb`: the classes and constants of the original's Python library. */
export { Asking, SHORT_TIMEOUT_SEC, TIMEOUT_SEC, type ControllerWorld } from "./asking.ts";
export { GroupController as Controller, type ReplicateOptions } from "./group-controller.ts";
export {
  K_ARCHIVE,
  K_PROXY,
  K_STORAGE,
  Server,
  ServerConnectionParam,
  ServerLayout,
  ServerStartupParam,
} from "./layout.ts";
export * from "./states.ts";
export { CompressOpt, parseDiff, parseGidInfo, parseMetaState, parseSnapshot, SyncOpt } from "./texts.ts";
