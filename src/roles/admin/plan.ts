import * as v from "valibot";
import { Failure } from "../../cli/failure.ts";
import { checkConfig, plainSecrets } from "./config-check.ts";
import { memberDigests } from "./member-digests.ts";
import { type PlannedVolume, planVolumes } from "./mount-plan.ts";
import type { Template, TemplateMachine } from "./template.ts";
import { withVaultEnvironment } from "./vault-environment.ts";

/** Keys that fly-vault-admin puts into the metadata of what it makes. */
export const metadataKeys = {
  tenant: "fly_vault.tenant_id",
  managedBy: "fly_vault.managed_by",
  template: "fly_vault.template",
  launch: "fly_vault.launch_id",
  /** Until its maker has shown it to somebody who can log in. */
  unfinished: "fly_vault.unfinished",
  /** What the template said, as digests of its keys: so that what it says no more can be taken away. */
  members: "fly_vault.template_keys",
} as const;

export const managedBy = "fly-vault-admin";

/** One machine to be, with the volumes that must exist before it. */
export interface PlannedMachine {
  readonly index: number;
  /** What its owner calls it. */
  readonly vaultName: string;
  readonly machine: TemplateMachine;
  readonly volumes: readonly PlannedVolume[];
  readonly launchId: string;
}

export interface PlanOptions {
  readonly tenant: string;
  readonly accessToken: string;
  readonly variables: ReadonlyMap<string, string>;
  /** Tells machines of this run from all others. */
  readonly runId: string;
}

export interface TenantPlan {
  readonly machines: readonly PlannedMachine[];
  readonly usesToken: boolean;
  /** Lines about what is allowed and probably not meant. */
  readonly warnings: readonly string[];
}

/** All machines of a tenant as the template wants them. Nothing is sent; what is wrong is said now. */
export function planTenant(template: Template, options: PlanOptions): TenantPlan {
  const used = new Set<string>();
  const warnings = new Set(plainSecrets(template, template.document.machine.config));
  const machines = Array.from({ length: template.document.machine_count }, (_, at) =>
    planMachine(template, at + 1, options, { used, warnings }),
  );
  for (const name of options.variables.keys()) {
    if (!used.has(name)) {
      throw new Failure("FV-ADM-001", `--var ${name} is not used by ${template.path}`, {
        fix: `remove it, or write {{${name}}} where its value belongs`,
      });
    }
  }
  const usesToken = used.has("access_token");
  if (!usesToken) {
    const words = "does not use {{access_token}}, so the machine gets none from here";
    warnings.add(`${template.path} ${words}`);
  }
  return { machines, usesToken, warnings: [...warnings] };
}

function planMachine(
  template: Template,
  index: number,
  options: PlanOptions,
  found: { readonly used: Set<string>; readonly warnings: Set<string> },
): PlannedMachine {
  const values = new Map([
    ...options.variables,
    ["tenant_id", options.tenant],
    ["index", String(index)],
    ["access_token", options.accessToken],
  ]);
  const { machine, metadata } = template.filledWith(values, found.used);
  checkMachineName(template, machine.name);
  for (const line of checkConfig(template, machine.config)) found.warnings.add(line);
  const launchId = `${options.runId}-${index}`;
  const isOnly = template.document.machine_count === 1;
  const vaultName = isOnly ? options.tenant : `${options.tenant}-${index}`;
  const config = {
    ...withVaultEnvironment(machine.config, vaultName),
    metadata: {
      ...stringsOf(machine.config["metadata"]),
      ...metadata,
      [metadataKeys.tenant]: options.tenant,
      [metadataKeys.managedBy]: managedBy,
      [metadataKeys.template]: template.name,
      [metadataKeys.launch]: launchId,
      [metadataKeys.members]: memberDigests(machine.config),
    },
  };
  return {
    index,
    vaultName,
    machine: { ...machine, config },
    volumes: planVolumes(template, machine),
    launchId,
  };
}

/** As `checkConfig` found it. */
function stringsOf(value: unknown): Record<string, string> {
  return v.is(v.record(v.string(), v.string()), value) ? value : {};
}

function checkMachineName(template: Template, name: string | undefined): void {
  if (name === undefined || /^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$/u.test(name)) return;
  throw template.failure(
    ["machine", "name"],
    `"${name}" is no machine name: letters, digits, - and _, at most 63`,
  );
}
