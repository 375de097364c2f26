// pg-boss with batches of 1,000, two fetch loops, LISTEN and NOTIFY, and no pause after a full
// batch. It keeps finished jobs.
import { PgBoss } from "pg-boss";
import { DSN, handled, ready, speak } from "./protocol.mjs";

const QUEUE = "jobs";
const WORKER = {
  batchSize: 1000,
  burstWhenBatchFull: true,
  localConcurrency: 2,
  pollingIntervalSeconds: 0.5,
};
let boss;

async function start(options) {
  boss = new PgBoss({ connectionString: DSN, ...options });
  boss.on("error", (error) => process.stderr.write(`${error}\n`));
  await boss.start();
}

await speak({
  async setup() {
    await start();
    await boss.createQueue(QUEUE, { notify: true });
    await boss.stop({ graceful: false });
  },
  open: () => start({ supervise: false, schedule: false, migrate: false }),
  one: (args) => boss.send(QUEUE, args),
  many: (all) => boss.insert(QUEUE, all.map((args) => ({ data: args }))),
  async work() {
    ready();
    await start({ useListenNotify: true });
    await boss.work(QUEUE, WORKER, async (jobs) => jobs.forEach((job) => handled(job.data)));
  },
});
