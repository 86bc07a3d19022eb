/** Placeholder header: helper H5 replaces this file. The interface below is the contract. */
export interface Counter { increment(by?: number): void }
export interface Histogram { /** Seconds. */ observe(seconds: number): void }
export interface Metrics {
  counter(name: string, help: string, labels?: Record<string, string>): Counter;
  /** `read` is called at each scrape. */
  gauge(name: string, help: string, read: () => number, labels?: Record<string, string>): void;
  /** A counter kept elsewhere (in C): `read` is called at each scrape. */
  counterFrom(name: string, help: string, read: () => number, labels?: Record<string, string>): void;
  histogram(name: string, help: string, bucketsSeconds?: number[]): Histogram;
  /** Prometheus text exposition. */
  text(): Promise<string>;
}
