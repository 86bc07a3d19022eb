/**
 * The bodies of registrations. Invariant: every body of one service has the same length and looks random but for its
 * epoch, whoever sends it: friends that are missing are made up, and records are sorted.
 */
import { NxError } from "../../core/errors.ts";
import { registerCombined } from "../protocol/blinding.ts";
import { compareBytes, concat, epochBytes } from "../protocol/bytes.ts";
import type { Primitives } from "../protocol/primitives.ts";
import type { Scheme } from "../protocol/scheme.ts";
import type { Friend, Identity } from "./identity.ts";

/** A friend and what that friend shall see. */
export interface Announcement {
  friend: Friend;
  payload: Uint8Array;
}

/** One record for each friend and random ones up to `maxBuddies`; without friends, an invisible registration. */
export function pairwiseRegistration(
  primitives: Primitives,
  scheme: Scheme,
  identity: Identity,
  announcements: readonly Announcement[],
  maxBuddies: number,
  epoch: number,
): Uint8Array<ArrayBuffer> {
  if (announcements.length > maxBuddies)
    throw new NxError("NX_INPUT_INVALID", `${announcements.length} friends; the service takes ${maxBuddies}`);
  const records = announcements.map(({ friend, payload }) => {
    assertPayload(scheme, payload);
    const context = { epoch, announcerPub: identity.publicKey, readerPub: friend.publicKey };
    const keys = scheme.pairKeys(primitives, identity.pairSecret(scheme, friend), context);
    return concat(keys.secretId, scheme.seal(primitives, keys, context, payload));
  });
  while (records.length < maxBuddies) records.push(primitives.random(scheme.idBytes + scheme.sealedBytes));
  return concat(epochBytes(epoch), ...records.sort(compareBytes));
}

/** One signed record that all friends read. */
export function combinedRegistration(
  primitives: Primitives,
  scheme: Scheme,
  signingSeed: Uint8Array,
  payload: Uint8Array,
  epoch: number,
): Uint8Array<ArrayBuffer> {
  assertPayload(scheme, payload);
  return concat(epochBytes(epoch), registerCombined(primitives, signingSeed, epoch, payload));
}

function assertPayload(scheme: Scheme, payload: Uint8Array): void {
  if (payload.byteLength === scheme.payloadBytes) return;
  throw new NxError(
    "NX_INPUT_INVALID",
    `a status has ${scheme.payloadBytes} bytes, not ${payload.byteLength}`,
  );
}
