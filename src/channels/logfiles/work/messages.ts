/** What the role's thread and the thread that works on files say to each other. */
import { NxError, type ErrorCode } from "../../../core/errors.ts";
import type { ScanFigures, ScanRequest } from "../scan/request.ts";
import type { JobName } from "./work.ts";

export type ToThread =
  | { kind: "scan"; id: number; request: ScanRequest }
  /** One more piece is wanted. */
  | { kind: "next"; id: number }
  /** The scan is over, read to its end or not; answered by `ended`. */
  | { kind: "close"; id: number }
  | { kind: "job"; id: number; name: JobName; task: unknown };

export type FromThread =
  | { kind: "piece"; id: number; bytes: Uint8Array }
  | { kind: "ended"; id: number; figures: ScanFigures | undefined }
  | { kind: "done"; id: number; result: unknown }
  | { kind: "failed"; id: number; error: ErrorShape };

/** An error as data; classes do not cross threads. */
export interface ErrorShape {
  code: ErrorCode;
  message: string;
  hint?: string;
}

export function shapeOf(error: unknown): ErrorShape {
  if (error instanceof NxError)
    return {
      code: error.code,
      message: error.message,
      ...(error.hint !== undefined && { hint: error.hint }),
    };
  const { code, message, stack } = error as { code?: string; message?: string; stack?: string };
  // A file that went away under a scan is as unreadable as one on a broken disk.
  if (typeof code === "string") return { code: "NX_DISK_FAILED", message: message ?? String(error) };
  return { code: "NX_INTERNAL", message: stack ?? String(error) };
}

export function errorOf({ code, message, hint }: ErrorShape): NxError {
  return new NxError(code, message, hint === undefined ? {} : { hint });
}
