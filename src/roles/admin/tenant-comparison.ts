import { Failure } from "../../cli/failure.ts";
import { printable } from "../../cli/printable.ts";
import type { FlyMachine, FlyVolume } from "../../fly/machine-shape.ts";
import { byNumber, isUnfinished } from "./begun-tenant.ts";
import { type Difference, differenceJson, differenceLine } from "./difference.ts";
import { machineDifferences } from "./machine-difference.ts";
import type { PlannedMachine } from "./plan.ts";
import type { TenantOrder } from "./tenant-order.ts";
import type { TokenHolder } from "./shared-token.ts";
import { recoverToken, unknownToken } from "./token-recovery.ts";

/** A tenant beside its template. */
export interface TenantComparison {
  readonly machines: readonly MachineComparison[];
  /** Planned and not there, or begun and not finished. */
  readonly missing: readonly PlannedMachine[];
  /** There, and not in the template. */
  readonly surplus: readonly FlyMachine[];
  /** That new machines get; undefined where there is none yet. */
  readonly accessToken: string | undefined;
  /** All that have one, those that are not in the template too. */
  readonly holders: readonly TokenHolder[];
}

interface MachineComparison {
  readonly machine: FlyMachine;
  readonly planned: PlannedMachine;
  /** The same for the machine as it is later, with the token that it has then. */
  readonly plannedFor: (machine: FlyMachine) => PlannedMachine;
  readonly accessToken: string;
  /** Not to be shown: its token, the one it had, and those of the order. */
  readonly secrets: readonly string[];
  readonly differences: readonly Difference[];
}

/** Each machine keeps its own token, unless a new one was given. */
export function compareTenant(
  order: TenantOrder,
  machines: readonly FlyMachine[],
  volumes: readonly FlyVolume[],
): TenantComparison {
  const numbered = byNumber(machines);
  const draft = order.plan(unknownToken, noRun).machines;
  const compared: MachineComparison[] = [];
  const missing: PlannedMachine[] = [];
  for (const [at, drafted] of draft.entries()) {
    const machine = numbered.get(drafted.index);
    numbered.delete(drafted.index);
    if (machine === undefined || isUnfinished(machine)) missing.push(drafted);
    if (machine === undefined) continue;
    const accessToken = tokenOf(order, drafted, machine);
    const plannedWith = (token: string): PlannedMachine =>
      order.plan(token, noRun).machines[at] ?? drafted;
    const plannedFor = (seen: FlyMachine): PlannedMachine =>
      plannedWith(tokenOf(order, drafted, seen));
    const planned = plannedWith(accessToken);
    const differences = machineDifferences(planned, machine, volumes);
    const secrets = [...order.secrets, accessToken, recoverToken(drafted, machine) ?? ""];
    compared.push({ machine, planned, plannedFor, accessToken, secrets, differences });
  }
  const surplus = [...numbered.values()];
  const others = surplus.map((machine) => ({
    machine,
    token: (draft[0] && recoverToken(draft[0], machine)) ?? "",
  }));
  const own = compared.map(({ machine, accessToken: token }) => ({ machine, token }));
  const holders = [...own, ...others].filter(({ token }) => token !== "");
  const accessToken = order.accessToken ?? holders[0]?.token;
  return { machines: compared, missing, surplus, holders, accessToken };
}

export function isAsWanted({ machines, missing }: TenantComparison): boolean {
  return missing.length === 0 && machines.every(({ differences }) => differences.length === 0);
}

export function renderComparison({ machines, missing, surplus }: TenantComparison): string {
  const lines: string[] = [];
  for (const { machine, differences, secrets } of machines) {
    if (differences.length === 0) continue;
    lines.push(`machine ${machine.id} (${machine.name ?? "no name"}, ${machine.state})`);
    lines.push(...differences.map((each) => `  ${differenceLine(each, secrets)}`));
  }
  const begun = new Map(machines.map(({ planned, machine }) => [planned.index, machine]));
  for (const { index } of missing) {
    const machine = begun.get(index);
    lines.push(
      machine === undefined
        ? `machine ${index} of the template is missing`
        : `machine ${machine.id} is not finished`,
    );
  }
  for (const { id } of surplus) lines.push(`machine ${id} is not in the template; it stays`);
  return lines.map((line) => `${printable(line)}\n`).join("");
}

export function comparisonJson(comparison: TenantComparison): Record<string, unknown>[] {
  const { machines, missing, surplus } = comparison;
  const there = new Set(machines.map(({ planned }) => planned.index));
  return [
    ...machines.map(({ machine, planned, differences, secrets }) => ({
      machine_id: machine.id,
      index: planned.index,
      finished: !isUnfinished(machine),
      planned: true,
      differences: differences.map((each) => differenceJson(each, secrets)),
    })),
    ...missing
      .filter(({ index }) => !there.has(index))
      .map(({ index }) => ({
        machine_id: null,
        index,
        finished: false,
        planned: true,
        differences: [],
      })),
    ...surplus.map((machine) => ({
      machine_id: machine.id,
      index: null,
      finished: !isUnfinished(machine),
      planned: false,
      differences: [],
    })),
  ];
}

function tokenOf(order: TenantOrder, drafted: PlannedMachine, machine: FlyMachine): string {
  const token = order.accessToken ?? recoverToken(drafted, machine);
  if (token !== undefined) return token;
  if (!order.draft.usesToken) return "";
  throw new Failure("FV-CLI-001", `machine ${machine.id} has no access token that could be kept`, {
    because: "where the template puts {{access_token}}, and in ACCESS_TOKEN, there is none",
    fix: "pass it with --access-token-file",
  });
}

const noRun = "0".repeat(16);
