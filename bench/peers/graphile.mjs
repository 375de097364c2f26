// graphile-worker with the settings of its documentation's page on performance: a local queue of
// 500, 24 jobs at once, completions in batches. It deletes a job that has succeeded.
import { Logger, makeWorkerUtils, run, runMigrations } from "graphile-worker";
import { DSN, handled, ready, speak } from "./protocol.mjs";

const logger = new Logger(() => () => {});
const preset = {
  worker: {
    connectionString: DSN,
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
};
let utils;

await speak({
  setup: () => runMigrations({ connectionString: DSN, logger }),
  async open() {
    utils = await makeWorkerUtils({ connectionString: DSN, logger });
  },
  one: (args) => utils.addJob("noop", args),
  many: (all) => utils.addJobs(all.map((args) => ({ identifier: "noop", payload: args }))),
  async work() {
    ready();
    await run({ logger, preset, taskList: { noop: async (args) => handled(args) }, noHandleSignals: true });
  },
});
