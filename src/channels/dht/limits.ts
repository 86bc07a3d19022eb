/** The dht role's configuration and its limits, as types. */
import type { z } from "zod";
import type { dhtConfig } from "./config.ts";

export type DhtConfig = z.output<typeof dhtConfig>;
export type DhtLimits = DhtConfig["limits"];
