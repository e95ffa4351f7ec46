import { type HintState, hintStates } from "../../../quic/admission-hint.ts";
import { type Drop, type DropCause, dropCauses } from "../decision.ts";

/** What was dropped and hinted, for metrics. */
export class Tally {
  readonly drops: Record<DropCause, number> = countsOf(dropCauses);
  readonly hints: Record<HintState, number> = countsOf(hintStates);

  drop(cause: DropCause): Drop {
    this.drops[cause]++;
    return dropsByCause[cause];
  }

  dropMany(cause: DropCause, count: number): void {
    this.drops[cause] += count;
  }
}

function countsOf<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}

/** Made once: in a flood, there are as many of them as datagrams. */
const dropsByCause = Object.fromEntries(
  dropCauses.map((cause) => [cause, Object.freeze({ kind: "drop", cause })]),
) as unknown as Readonly<Record<DropCause, Drop>>;
