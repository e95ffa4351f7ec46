/**
 * One target in a process of its own: native code may end that, its speed does not depend on what ran
 * before, and the last input stays in the file.
 */
import { type FuzzRun, type FuzzTarget, runFuzz } from "../support/fuzz.ts";
import { LastInput } from "../support/last-input.ts";

const [file = "", name, lastInput = "", seed, seconds = ""] = process.argv.slice(2);
const exported = (await import(`./${file}`)) as Readonly<Record<string, FuzzTarget>>;
const target = Object.values(exported).find((each) => each.name === name);
if (target === undefined) throw new Error(`No target of ${file} is called ${name}`);
const last = LastInput.open(lastInput);
const run: FuzzRun = { seed: Number(seed), note: (bytes) => last.note(bytes) };
const result = await runFuzz(target, seconds === "" ? run : { ...run, seconds: Number(seconds) });
console.log(JSON.stringify({ ...result, rssBytes: process.memoryUsage.rss() }));
// Endpoints may hold timers for a while.
process.exit(0);
