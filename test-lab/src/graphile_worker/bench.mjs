// Carries jobs through graphile-worker (MIT) in its batched mode, as its own performance page does: jobs are fetched by the hundred into a local
// queue, and completed in batches. Prints one line of JSON. Run with the folder that holds node_modules as working directory.
import { Logger, makeWorkerUtils, run } from "graphile-worker";

const [connectionString, jobs, payloadBytes] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const BATCH = 64;
const ADDERS = 4;
const quiet = new Logger(() => () => {});
const payload = { spec: "s".repeat(payloadBytes) };
const preset = {
  worker: {
    connectionString,
    logger: quiet,
    maxPoolSize: 10,
    concurrentJobs: 24,
    pollInterval: 10,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
};

const utils = await makeWorkerUtils({ preset });
await utils.migrate();

const batch = Array.from({ length: BATCH }, () => ({ identifier: "bench", payload }));
async function add() {
  let left = Math.ceil(jobs / BATCH);
  const adder = async () => {
    while (left-- > 0) await utils.addJobs(batch);
  };
  await Promise.all(Array.from({ length: ADDERS }, adder));
}

let done = 0;
let wanted = Infinity;
let allDone = () => {};
const taskList = {
  bench: () => {
    done += 1;
    if (done >= wanted) allDone();
  },
};

const rounded = Math.ceil(jobs / BATCH) * BATCH;
async function until(count) {
  await new Promise((resolve) => {
    wanted = count;
    allDone = resolve;
    if (done >= wanted) resolve();
  });
}

// What waits already is only completed.
await add();
let began = performance.now();
const runner = await run({ preset, taskList });
await until(rounded);
const completeMs = performance.now() - began;

// Added and completed at the same time.
began = performance.now();
await add();
const addMs = performance.now() - began;
await until(2 * rounded);
const bothMs = performance.now() - began;
await runner.stop();
await utils.release();
console.log(JSON.stringify({ jobs: rounded, complete_ms: completeMs, add_ms: addMs, both_ms: bothMs }));
process.exit(0);
