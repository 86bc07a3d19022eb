/** The states of volumes under the names that the original's library gives them, and groups of them. */

export const sClear = "Clear";
export const sSyncReady = "SyncReady";
export const sStopped = "Stopped";
export const sTarget = "Target";
export const sStandby = "Standby";

export const pClear = "Clear";
export const pStopped = "Stopped";
export const pStarted = "Started";
export const pWlogRecv = "WlogRecv";
export const pWaitForEmpty = "WaitForEmpty";

export const aClear = "Clear";
export const aSyncReady = "SyncReady";
export const aArchived = "Archived";
export const aStopped = "Stopped";
export const aHashSync = "HashSync";
export const aWdiffRecv = "WdiffRecv";
export const aReplSync = "ReplSyncAsServer";

/** States in which an archive serves. */
export const aActive: readonly string[] = [aArchived, aHashSync, aWdiffRecv, aReplSync];
/** States in which a proxy serves. */
export const pActive: readonly string[] = [pStarted, pWlogRecv, pWaitForEmpty];
/** States of a volume that is on its way to rest. */
export const duringStop: readonly string[] = ["Stop", "StopTarget", "StopStandby", pWaitForEmpty];
