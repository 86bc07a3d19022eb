/** What a command may know and touch of the terminal it was called from. Tests give one that remembers. */

export interface TextOutput {
  write(text: string): void;
  isTty: boolean;
}

export interface Terminal {
  stdout: TextOutput;
  stderr: TextOutput;
  /** Aborted when the person wants it to end (Ctrl-C): finish early and report what there is. */
  interrupted: AbortSignal;
}
