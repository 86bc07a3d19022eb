import type { Role } from "../core/role.ts";
export declare const hub: Role;
