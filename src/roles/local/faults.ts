import {
  type Fault,
  type FaultAction,
  type FaultScriptInput,
  parseFaultScript,
} from "./fault-script.ts";
import type { Match, Route } from "./router.ts";

interface Counted {
  readonly fault: Fault;
  readonly random: () => number;
  /** Matching calls so far, and how many of them were hit. */
  seen: number;
  hits: number;
}

/** What goes wrong on purpose, and how much of it already has. */
export class Faults {
  readonly #routes: readonly Route[];
  readonly #onChange: (staleMsMax: number) => void;
  #seed = 1;
  #counted: Counted[] = [];

  /**
   * The routes are read when a script is installed, not before. `onChange` is told for how long old
   * news is now wanted.
   */
  constructor(routes: readonly Route[], onChange: (staleMsMax: number) => void) {
    this.#routes = routes;
    this.#onChange = onChange;
  }

  /** In place of all faults so far; the counts begin anew. */
  install(script: FaultScriptInput): void {
    this.installUnknown(script);
  }

  /** The same for what came from outside: 400 says what is wrong with it. */
  installUnknown(input: unknown): void {
    const script = parseFaultScript(input, this.#routes);
    this.#seed = script.seed;
    this.#counted = script.faults.map((fault, index) => ({
      fault,
      random: seededRandom(script.seed + index * 0x9e3779b9),
      seen: 0,
      hits: 0,
    }));
    const ages = script.faults.map((fault) => (fault.do.kind === "stale" ? fault.do.ms : 0));
    this.#onChange(Math.max(0, ...ages));
  }

  clear(): void {
    this.#counted = [];
    this.#onChange(0);
  }

  /** As it stands now: the script, and for each fault how often its call came and how often it struck. */
  report(): Record<string, unknown> {
    const faults = this.#counted.map(({ fault, seen, hits }) => ({ ...fault, seen, hits }));
    return { seed: this.#seed, faults };
  }

  /** What is to go wrong with this call, for which all faults that match it count it. */
  take({ route }: Match, machineNames: readonly string[]): FaultAction | undefined {
    let found: FaultAction | undefined;
    for (const counted of this.#counted) {
      const { fault } = counted;
      if (fault.call !== "*" && fault.call !== `${route.method} ${route.path}`) continue;
      if (fault.machine !== undefined && !machineNames.includes(fault.machine)) continue;
      counted.seen += 1;
      // Drawn for every call, so that what one fault does never shifts the chances of another.
      const chosen = counted.random() < fault.share;
      const due =
        counted.seen >= fault.from && (fault.times === "always" || counted.hits < fault.times);
      if (found !== undefined || !due || !chosen) continue;
      counted.hits += 1;
      found = fault.do;
    }
    return found;
  }
}

/** Mulberry32: the same numbers in [0, 1) for the same seed, on every computer. */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
