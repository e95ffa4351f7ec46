import type { Context } from "../../cli/context.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { admissionKeyVariable } from "./admission-keys.ts";
import { parseVariables, readAccessToken } from "./create-input.ts";
import { planTenant, type TenantPlan } from "./plan.ts";
import { digestOf } from "./rollout-call.ts";
import { isSecretName } from "./secret-mask.ts";
import { Template } from "./template.ts";
import { checkTenantId } from "./tenant-id.ts";
import { unknownToken } from "./token-recovery.ts";

/** What `create`, `apply` and `diff` are told of a tenant. */
export const orderFlags = {
  template: { value: "FILE", short: "f", summary: "the tenant template (TOML)" },
  var: { value: "KEY=VALUE", repeatable: true, summary: "a value for {{KEY}}" },
  "require-digest": { summary: "refuse a template whose image names no digest (@sha256:…)" },
  "access-token-file": {
    value: "FILE",
    summary:
      "file with the tenant's access token, - for stdin (default: a new one, or the one it has)",
  },
  "access-token": {
    value: "TOKEN",
    summary: "the same as a word; others can see it with ps",
  },
} as const;

interface OrderOptions {
  readonly template: string | undefined;
  readonly var: readonly string[];
  readonly "require-digest": boolean;
  readonly "access-token-file": string | undefined;
  readonly "access-token": string | undefined;
  readonly app: string | undefined;
}

export interface TenantOrder {
  readonly tenant: string;
  readonly template: Template;
  /** Undefined: a new one is made, or it keeps the one it has. */
  readonly accessToken: string | undefined;
  /** Not to be shown: the token, and what `--var` gives to names that speak of secrets. */
  readonly secrets: readonly string[];
  readonly plan: (accessToken: string, runId: string) => TenantPlan;
  /** With `unknownToken`, where none was given. */
  readonly draft: TenantPlan;
}

/** Checked as far as it can be without Fly; what is odd is warned about. Throws `Failure`. */
export async function readOrder(
  tenantWord: string,
  flags: OrderOptions,
  context: Context,
): Promise<TenantOrder> {
  const tenant = checkTenantId(tenantWord);
  if (flags.template === undefined) throw new UsageError("--template is missing");
  const variables = parseVariables(flags.var);
  const template = Template.read(flags.template);
  if (flags.app !== undefined && flags.app !== template.document.app) {
    throw template.failure(["app"], `is "${template.document.app}", but --app says "${flags.app}"`);
  }
  const plan = (accessToken: string, runId: string): TenantPlan =>
    planTenant(template, { tenant, accessToken, variables, runId });
  const accessToken = await readAccessToken(flags, context);
  const draft = plan(accessToken ?? unknownToken, "0".repeat(16));
  if (flags["require-digest"]) checkDigests(template, draft);
  for (const line of draft.warnings) await context.stderr.write(`warning: ${line}\n`);
  const secrets = [...variables].filter(([name]) => isSecretName(name)).map(([, value]) => value);
  secrets.push(accessToken ?? unknownToken);
  return { tenant, template, accessToken, secrets, plan, draft };
}

/** A tag may be another image tomorrow. */
function checkDigests(template: Template, { machines }: TenantPlan): void {
  const images = machines.map(({ machine }) => machine.config["image"]);
  if (images.every((image) => typeof image === "string" && digestOf(image) !== undefined)) return;
  throw template.failure(
    ["machine", "config", "image"],
    "names no digest (@sha256:…), which --require-digest asks for",
  );
}

/** With `--proxy` each machine gets keys of its own. */
export function checkNoOwnKey({ template, draft }: TenantOrder): void {
  for (const { machine } of draft.machines) {
    const { env } = machine.config;
    if (typeof env !== "object" || env === null || !(admissionKeyVariable in env)) continue;
    throw template.failure(
      ["machine", "config", "env", admissionKeyVariable],
      "is made for each machine by --proxy; remove it",
    );
  }
}
