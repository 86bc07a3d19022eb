/**
 * Sending as the original's tools do: frames into a socket, nothing comes back.
 *
 * Invariant: a record whose bytes the kernel had not all taken when the connection broke is sent again, whole, on the next
 * one. What the kernel had taken and the worker had not read is lost: that is what the acknowledged protocol is for.
 */
import { Line } from "./line.ts";

export class RawLine extends Line {
  protected opened(): void {
    this.rewind(this.settled);
    this.pump();
  }

  protected received(): void {
    // A raw worker says nothing; whatever comes is not for us.
  }

  protected closed(): void {}

  protected room(): number {
    return Number.POSITIVE_INFINITY;
  }

  protected writeRecord(index: number): void {
    const { feed } = this.options;
    if (feed.isFramed) this.writer.frame((writer) => feed.write(writer, index));
    else feed.write(this.writer, index);
  }

  protected drained(): void {
    this.settle(this.next);
  }

  protected exhausted(): void {
    if (this.outbox?.length === 0) this.finish();
  }
}
