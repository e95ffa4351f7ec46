import { digestOf, isPassing, isResting, type MachineView } from "./rollout-call.ts";
import type { MachineProgress } from "./rollout-state.ts";

/** What a machine that we hold the lease of turns out to be. */
export type Finding =
  /** On the new image, though not by us. */
  | { readonly kind: "skip" }
  /** About to rest or to run, and nobody knows yet which. */
  | { readonly kind: "passing" }
  /** Somebody else gave it a third image. */
  | { readonly kind: "foreign" }
  | {
      readonly kind: "known";
      readonly on: "new" | "old";
      /** Whether it is to run afterwards. */
      readonly runs: boolean;
      /** The journal does not know that yet. */
      readonly isNews: boolean;
    };

export function lookAt(view: MachineView, machine: MachineProgress, image: string): Finding {
  const { open, was, changed } = machine;
  const on = imageOf(view, was, image);
  if (was === undefined && on === "new") return { kind: "skip" };
  const before = open?.runs;
  if (before === undefined && isPassing(view)) return { kind: "passing" };
  if (on === "other") return { kind: "foreign" };
  // What stopped because of us is to run again; what somebody started meanwhile is not to stop.
  const fell = changed > 0 && (before ?? (view.crashed || machine.isDown));
  const runs = fell || (isPassing(view) ? before === true : !isResting(view));
  return { kind: "known", on, runs, isNews: before !== runs };
}

/** By digest where there is one: tags move. */
function imageOf(
  view: MachineView,
  was: MachineProgress["was"],
  image: string,
): "new" | "old" | "other" {
  const digest = digestOf(view.pinned);
  const hasDigestOf = (other: string): boolean =>
    digest !== undefined && digest === digestOf(other);
  if (view.image === image || hasDigestOf(image)) return "new";
  if (was === undefined || view.image === was.image || hasDigestOf(was.pinned)) return "old";
  return view.image === was.pinned ? "old" : "other";
}
