import type { UsageState } from "./usage-record.ts";
import type { UsageShape } from "./usage-shape.ts";

export interface Change {
  readonly state: UsageState;
  readonly atMs: number;
  readonly isEstimated: boolean;
}

export interface TimedShape {
  readonly atMs: number;
  readonly shape: UsageShape;
}

/** All that a journal knows of one machine. Adding is cheap, for a journal may be long. */
export class UsageMachine {
  readonly id: string;
  /** Not listed since; undefined while it is. */
  missingMs: number | undefined;
  readonly #transitions = new Map<string, Change>();
  readonly #shapes: TimedShape[] = [];
  #last: Change | undefined;
  #first: Change | undefined;
  #shape: TimedShape | undefined;

  constructor(id: string) {
    this.id = id;
  }

  /** By time. */
  get transitions(): Change[] {
    return [...this.#transitions.values()].toSorted((a, b) => a.atMs - b.atMs);
  }

  /** By time; the first one that was seen holds from the beginning, whatever the clock said then. */
  get shapes(): TimedShape[] {
    const timed = this.#shapes.map((each, at) => (at === 0 ? { ...each, atMs: -Infinity } : each));
    return timed.toSorted((a, b) => a.atMs - b.atMs);
  }

  get first(): Change | undefined {
    return this.#first;
  }

  get last(): Change | undefined {
    return this.#last;
  }

  /** Seen last: by its time another one may be, from when a clock was wrong. */
  get lastShape(): TimedShape | undefined {
    return this.#shape;
  }

  has(state: UsageState, atMs: number): boolean {
    return this.#transitions.has(`${state} ${atMs}`);
  }

  /** Saying it twice changes nothing. */
  addTransition(change: Change): void {
    if (this.has(change.state, change.atMs)) return;
    this.#transitions.set(`${change.state} ${change.atMs}`, change);
    if (this.#last === undefined || change.atMs >= this.#last.atMs) this.#last = change;
    if (this.#first === undefined || change.atMs < this.#first.atMs) this.#first = change;
  }

  addShape(shape: TimedShape): void {
    this.#shapes.push(shape);
    this.#shape = shape;
  }
}
