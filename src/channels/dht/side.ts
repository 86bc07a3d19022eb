/** What the dht node hands to the sides of its own protocols. */
import type { RoleContext } from "../../core/role.ts";
import type { ReplyGate } from "../reply-gate.ts";
import type { DurableStore } from "./durable-store.ts";
import type { DhtConfig, DhtLimits } from "./limits.ts";

export interface SideOptions {
  context: RoleContext<DhtConfig>;
  durable: DurableStore;
  gate: ReplyGate;
  /** Current configuration; a reload changes it. */
  config(): DhtConfig;
  /** What this side may use, its clients and those of the others considered. */
  limits(): DhtLimits;
}
