import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { mutate } from "./mutation.ts";
import { type Random, seededRandom } from "./seed.ts";

/** One decoder, what is fed to it, and what must hold whatever that is. */
export interface FuzzTarget {
  readonly name: string;
  /** Inputs in every `make test`. */
  readonly runs: number;
  /** How many were planned; undefined where nobody planned any. */
  readonly planned?: number;
  /** Well-formed inputs, made anew every `epochRuns`. Each is tried as it is before its mutants. */
  readonly corpus: (random: Random) => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  /**
   * Throws when the property does not hold. True when the decoder made something of the input. Must
   * depend on the bytes alone, so that they can be tried again.
   */
  readonly check: (bytes: Uint8Array) => boolean | Promise<boolean>;
  /** How inputs are made of the corpus, where general damage would not get past a checksum. */
  readonly mutate?: (random: Random, corpus: readonly Uint8Array[]) => Uint8Array;
  readonly epochRuns?: number;
  /** Share of inputs that must decode, lest nothing is tested: one in a hundred, where not said. */
  readonly decodedShareMin?: number;
}

export interface FuzzResult {
  readonly runs: number;
  readonly decoded: number;
  readonly perSecond: number;
}

export interface FuzzRun {
  readonly seed: number;
  /** Counted when undefined. */
  readonly seconds?: number;
  /** Sees every input before it is tried. */
  readonly note?: (bytes: Uint8Array) => void;
}

/** Stored failures first, then the corpus, then mutants. Rejects at the first failure, with the bytes. */
export async function runFuzz(target: FuzzTarget, run: FuzzRun): Promise<FuzzResult> {
  for (const bytes of readRegressions(target.name)) await attempt(target, run, bytes);
  const framesKept = Error.stackTraceLimit;
  // Most inputs end in an error, and its stack is what it costs.
  Error.stackTraceLimit = 0;
  try {
    return await runMutants(target, run);
  } finally {
    Error.stackTraceLimit = framesKept;
  }
}

async function runMutants(target: FuzzTarget, run: FuzzRun): Promise<FuzzResult> {
  const random = seededRandom(run.seed);
  const startedMs = performance.now();
  const isOver = limitOf(target, run, startedMs);
  let [runs, decoded] = [0, 0];
  while (!isOver(runs)) {
    // Plain arrays: `slice` of a Buffer is a view, and damage to it would stay.
    const made = await target.corpus(random);
    const corpus = made.map((bytes) => new Uint8Array(bytes));
    const epochEnd = runs + (target.epochRuns ?? 100_000);
    for (let index = 0; !isOver(runs) && runs < epochEnd; index++, runs++) {
      const bytes = corpus[index] ?? (target.mutate ?? mutate)(random, corpus);
      const took = attempt(target, run, bytes);
      if (took === true || (took !== false && (await took))) decoded += 1;
      if (runs % inputsPerTurn === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }
  const seconds = (performance.now() - startedMs) / 1000;
  return { runs, decoded, perSecond: Math.round(runs / seconds) };
}

/** Native objects are freed between turns of the event loop only. */
const inputsPerTurn = 4096;

/** The clock is looked at every 64 inputs. */
function limitOf(target: FuzzTarget, run: FuzzRun, startedMs: number): (runs: number) => boolean {
  const { seconds } = run;
  if (seconds === undefined) return (runs) => runs >= target.runs;
  return (runs) => runs % 64 === 0 && performance.now() - startedMs >= seconds * 1000;
}

function attempt(target: FuzzTarget, run: FuzzRun, bytes: Uint8Array): boolean | Promise<boolean> {
  run.note?.(bytes);
  try {
    const made = target.check(bytes);
    if (typeof made === "boolean") return made;
    return made.catch((error: unknown) => {
      throw fuzzFailure(target, run, bytes, error);
    });
  } catch (error) {
    throw fuzzFailure(target, run, bytes, error);
  }
}

/** Names the bytes and how to try them again. A long run also stores them, for every later run. */
export function fuzzFailure(
  target: FuzzTarget,
  run: FuzzRun,
  bytes: Uint8Array,
  cause: unknown,
): Error {
  const hex = Buffer.from(bytes).toString("hex");
  const known = readRegressions(target.name).some((each) => Buffer.compare(each, bytes) === 0);
  const stored = known || run.seconds !== undefined;
  if (!known && stored) appendFileSync(regressionFile(target.name), `${hex}\n`);
  const reason = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  const replay = stored
    ? `it stands in ${regressionPath(target.name)}, which every run tries first`
    : `to try again: put that line into ${regressionPath(target.name)}`;
  return new Error(`${target.name}, FV_SEED=${run.seed}: ${reason}\n${hex}\n${replay}`, { cause });
}

/** Lines of hex; `#` begins a comment, which says what was wrong. */
export function readRegressions(name: string): Uint8Array[] {
  const file = regressionFile(name);
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      if (!/^([0-9a-f]{2})*$/.test(line)) throw new Error(`Not hex: ${line}`);
      return Uint8Array.from(Buffer.from(line, "hex"));
    });
}

function regressionPath(name: string): string {
  return `test/fuzz/regressions/${name.replaceAll(" ", "-")}.hex`;
}

function regressionFile(name: string): URL {
  return new URL(`../../${regressionPath(name)}`, import.meta.url);
}

/** The value, or undefined for an error that the decoder may give. */
export function allowing<Value>(
  allowed: new (...args: never[]) => Error,
  decode: () => Value,
): Value | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof allowed) return undefined;
    throw error;
  }
}

/** Slices of the bytes, cut where the bytes themselves say: the same each time they are tried. */
export function someSlices(bytes: Uint8Array): Uint8Array[] {
  const random = seededRandom(Bun.hash.crc32(bytes));
  const longest = random() < 0.1 ? 4 : bytes.length;
  const slices: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + Math.floor(random() * longest);
    slices.push(bytes.slice(at, end));
    at = end;
  }
  return slices;
}

/** Of inputs for which something slow is done as well: one in `count`, chosen by the bytes. */
export function isSampled(bytes: Uint8Array, count: number): boolean {
  return Bun.hash.crc32(bytes) % count === 0;
}
