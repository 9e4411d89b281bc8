// How far the server's clock is from the browser's, as exactly as the `Date` headers of answers say.
//
// A header tells whole seconds, so one answer leaves a second of doubt and the time it took. Several answers
// together leave less: what all of them allow.

/** Milliseconds in the second that a header leaves open. */
const SECOND = 1_000;

/** The server's clock. */
export class ServerClock {
  private least = Number.NEGATIVE_INFINITY;
  private most = Number.POSITIVE_INFINITY;

  /** Milliseconds by which the server's clock is ahead of the browser's; 0 where nothing speaks against it. */
  get ahead(): number {
    if (this.least <= 0 && this.most >= 0) return 0;
    return Math.round((this.least + this.most) / 2);
  }

  /** Hears the `Date` header of an answer to a request that was sent and answered at these times. */
  heed(header: string | null, sent: number, received: number): void {
    const date = header === null ? Number.NaN : Date.parse(header);
    if (Number.isNaN(date)) return;
    const least = date - received;
    const most = date + SECOND - sent;
    // Outside of what was known: one of the clocks was set.
    const stepped = least > this.most || most < this.least;
    this.least = stepped ? least : Math.max(this.least, least);
    this.most = stepped ? most : Math.min(this.most, most);
  }
}
