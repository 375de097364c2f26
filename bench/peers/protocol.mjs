// The protocol of protocol.py, for programs in JavaScript.
import fs from "node:fs";

export const DSN = process.env.PEER_DSN;

const WARM = 20; // calls before the clock runs, where one job to a call is measured
const JOBS = Number(process.env.PEER_JOBS || 0);
const STAMPS = "PEER_STAMPS" in process.env;
let seen = 0;

const now = () => (performance.timeOrigin + performance.now()) / 1000;
const say = (...words) => fs.writeSync(1, words.join(" ") + "\n");
const args = (i) => ({ i, t: now() });

export const ready = () => say("ready");

export function handled({ i, t }) {
  if (STAMPS) say("start", i, t, now());
  seen += 1;
  if (seen === JOBS) say("done");
}

async function enqueue(system, jobs, batch) {
  await system.open();
  const all = Array.from({ length: jobs }, (_, i) => args(i));
  if (batch === 1) for (let i = 0; i < WARM; i += 1) await system.one(args(i));
  const begun = performance.now();
  if (batch === 1) for (const one of all) await system.one(one);
  else for (let i = 0; i < jobs; i += batch) await system.many(all.slice(i, i + batch));
  say("took", (performance.now() - begun) / 1000);
}

async function send(system, jobs, pause) {
  await system.open();
  for (let i = 0; i < jobs; i += 1) {
    await system.one(args(i));
    await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random())));
  }
}

export async function speak(system) {
  const [command, first, second] = process.argv.slice(2);
  if (command === "work") return system.work(); // until terminated
  if (command === "setup") await system.setup();
  if (command === "enqueue") await enqueue(system, Number(first), Number(second));
  if (command === "send") await send(system, Number(first), Number(second));
  return process.exit(0);
}
