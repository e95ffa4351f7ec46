import { copyLimits } from "./copy-limits.ts";
import type { SourceTree } from "./source-tree.ts";
import { walkTree, type WalkOptions, type WalkStep } from "./tree-walk.ts";

/**
 * All that is to be copied, counted before any of it is told. What was met while counting is remembered,
 * so that it is not looked at twice; where that is too much, nothing is.
 */
export class CountedWalk {
  readonly #options: WalkOptions;
  #walk: Generator<WalkStep, void, undefined>;
  #remembered: WalkStep[] | undefined = [];
  #taken = 0;
  readonly #trees = new Set<SourceTree>();
  /** Whose step was given last. */
  #lent: SourceTree | undefined;

  constructor(options: WalkOptions) {
    this.#options = options;
    this.#walk = walkTree(options);
  }

  /** Once, to its end, before the first `next`. */
  *count(): Generator<"working", { readonly files: number; readonly bytes: number }, undefined> {
    let [files, bytes, steps] = [0, 0, 0];
    for (const step of this.#walk) {
      steps += 1;
      if (steps % stepsAtOnce === 0) yield "working";
      this.#remember(step);
      if (step.kind !== "entry" || step.entry.kind === "folder") continue;
      files += 1;
      bytes += step.entry.size;
    }
    if (this.#remembered === undefined) this.#walk = walkTree(this.#options);
    return { files, bytes };
  }

  next(): WalkStep | undefined {
    if (this.#remembered === undefined) {
      const { done, value } = this.#walk.next();
      return done === true ? undefined : value;
    }
    this.#lent?.release();
    this.#lent = undefined;
    const step = this.#remembered[this.#taken];
    this.#taken += 1;
    if (step?.kind === "entry") this.#lent = step.tree;
    return step;
  }

  close(): void {
    this.#walk.return();
    this.#lent?.release();
    this.#lent = undefined;
    this.#forget();
  }

  /** A folder that was named is closed with the walk through it: it is held for what is still to be read in it. */
  #remember(step: WalkStep): void {
    if (this.#remembered === undefined) return;
    if (step.kind === "entry") {
      step.tree.hold();
      this.#trees.add(step.tree);
    }
    this.#remembered.push(step);
    const isMuch = this.#remembered.length > copyLimits.walkStepsMax;
    if (isMuch || this.#trees.size > copyLimits.walkTreesMax) this.#forget();
  }

  #forget(): void {
    for (const step of this.#remembered?.slice(this.#taken) ?? [])
      if (step.kind === "entry") step.tree.release();
    this.#remembered = undefined;
    this.#trees.clear();
  }
}

const stepsAtOnce = 2000;
