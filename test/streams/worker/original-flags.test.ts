/** Command lines of the original's demo, word for word, and the keys that they become. */
import { expect, test } from "bun:test";
import { workerFlags } from "../../../src/streams/worker/original-flags.ts";

const words = (line: string) => workerFlags(line.split(" "));

test("the initializer of the demo with two workers", () => {
  expect(
    words(
      "--run-with-resilience -i 127.0.0.1:7000,127.0.0.1:7001 -o 127.0.0.1:5555 -m 127.0.0.1:5001 -c 127.0.0.1:12500 " +
        "-d 127.0.0.1:12501 -t -e 127.0.0.1:5050 -w 2 --resilience-enable-io-journal " +
        "--resilience-dos-server 127.0.0.1:9999,127.0.0.2:9999",
    ).toSorted(),
  ).toEqual(
    [
      'sinks=["#1=tcp://127.0.0.1:5555"]',
      "metricsHub=127.0.0.1:5001",
      "adminPort=5050",
      'replicas=["127.0.0.1:9999","127.0.0.2:9999"]',
      "name=initializer",
      "host=127.0.0.1",
      "controlPort=12500",
      "dataPort=12501",
      "size=2",
      'sources=["#1=tcp://127.0.0.1:7000","#2=tcp://127.0.0.1:7001"]',
    ].toSorted(),
  );
});

test("a second worker opens no sources, and words that are not the worker's are the application's", () => {
  expect(
    words(
      "--in Detector@127.0.0.1:7000:16384 --out=127.0.0.1:5555 --control 127.0.0.1:12500 --my-control 127.0.0.2:23131 " +
        "--my-data 127.0.0.2:23132 --name worker2 --time-between-checkpoints 500000000 --depth 3",
    ),
  ).toEqual([
    'sinks=["#1=tcp://127.0.0.1:5555"]',
    "checkpointMs=500",
    "name=worker2",
    "host=127.0.0.2",
    "controlPort=23131",
    "dataPort=23132",
    "join=127.0.0.1:12500",
    'appArguments=["--depth","3"]',
  ]);
});

test("a source of the connector protocol is acknowledged, with its cookie and credits", () => {
  expect(words("-t -i Detector@127.0.0.1:7000:cookie:67:10")).toContain(
    'sources=["Detector=acked://127.0.0.1:7000?cookie=cookie&credits=67"]',
  );
  expect(() => words("-t -i nonsense")).toThrow("nonsense is no place");
});

test("an option that has no meaning here is refused, and not handed to the application", () => {
  expect(() => words("-t --spike-prob 0.1")).toThrow("--spike-prob: workers do not break");
  expect(() => words("--resilience-no-local-file-io")).toThrow("always on its own disk");
});

test("a worker that joins names any worker, and how many join together", () => {
  expect(words("-j 10.0.0.1:12500 -n worker3 -w 2")).toEqual([
    "name=worker3",
    "controlPort=0",
    "dataPort=0",
    "join=10.0.0.1:12500",
    "joining=2",
  ]);
  expect(() => words("-n worker2 -c 10.0.0.1:12500 -w 2")).toThrow("--worker-count");
  expect(() => words("-n")).toThrow("--name needs a value");
});
