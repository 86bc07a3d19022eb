/** The part of etcd's v3 API that the engine speaks, as its JSON gateway has it. What is zero, false or empty is left out. */
import type { KeyValue } from "./bytes.ts";

export interface Header {
  revision?: string;
}

export interface RangeRequest {
  key: string;
  range_end?: string;
  limit?: string;
  /** As of this revision; absent: as of now. */
  revision?: string;
  keys_only?: boolean;
  max_mod_revision?: string;
}

export interface RangeAnswer {
  header?: Header;
  kvs?: KeyValue[];
  more?: boolean;
}

export type Compare = { key: string; result: "EQUAL" } & (
  { target: "VERSION"; version: string } | { target: "MOD"; mod_revision: string }
);

export type Operation =
  | { request_range: RangeRequest }
  | { request_put: { key: string; value?: string; lease?: string } }
  | { request_delete_range: { key: string } };

export interface TxnRequest {
  compare?: Compare[];
  success?: Operation[];
  failure?: Operation[];
}

export interface TxnAnswer {
  header?: Header;
  succeeded?: boolean;
  responses?: { response_range?: RangeAnswer }[];
}

export interface WatchAnswer {
  header?: Header;
  created?: boolean;
  canceled?: boolean;
  /** The watch was to begin at a revision below this, which is gone. */
  compact_revision?: string;
  cancel_reason?: string;
  events?: { type?: "PUT" | "DELETE"; kv: KeyValue }[];
}

/** Every method that is called, by its path behind `/v3`. */
export interface Methods {
  "/kv/range": [RangeRequest, RangeAnswer];
  "/kv/put": [{ key: string; value?: string }, { header?: Header }];
  "/kv/txn": [TxnRequest, TxnAnswer];
  "/lease/grant": [{ TTL: string }, { ID?: string }];
  "/auth/authenticate": [{ name: string; password: string }, { token?: string }];
}

export const isUnchanged = (key: string, revision: number): Compare => ({
  key,
  result: "EQUAL",
  target: "MOD",
  mod_revision: String(revision),
});

export const isMissing = (key: string): Compare => ({
  key,
  result: "EQUAL",
  target: "VERSION",
  version: "0",
});

export const rangeOf = (key: string, revision?: number): Operation => ({
  request_range: { key, ...(revision !== undefined && { revision: String(revision) }) },
});
