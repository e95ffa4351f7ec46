import { jsonResult } from "../../cli/json-document.ts";
import { defineCommand } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { counted } from "../../cli/counted.ts";
import { Failure } from "../../cli/failure.ts";
import { stateDirectory } from "../../cli/paths.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { systemClock } from "../../fly/api-clock.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { connectionFlags, openConnection, runOnApi } from "./connection.ts";
import { countSessions } from "./machine-report.ts";
import { pinImage } from "./image-digest.ts";
import { unreachableReason } from "./rollout-handshake.ts";
import { rolloutLimits } from "./rollout-limits.ts";
import { planRollout, type RolloutPlan } from "./rollout-plan.ts";
import { planJson, type PlanOutlook, planText } from "./rollout-plan-text.ts";
import { openRollouts } from "./rollout-store.ts";
import { runRollout } from "./rollout-run.ts";
import { checkTenantId, managedMachines, managedMachinesForSure } from "./tenant-id.ts";
import { parseRolloutNumbers, rolloutFlags } from "./update-image-options.ts";

export const tenantUpdateImage = defineCommand({
  name: "tenant update-image",
  summary: "Give machines another image, a few at a time, and back if it does not hold",
  description:
    "Shows the plan, then goes: canaries first, every machine leased, cordoned, updated and watched. " +
    "The first one that does not come up well ends it, and all that were updated go back. What does " +
    "not run is updated and left stopped. Ctrl-C lets the machines at work be finished, twice ends at " +
    "once; --resume goes on from there, and after a crash (docs/rollout.md).",
  flags: {
    image: {
      value: "IMAGE",
      summary: "the new image; a tag is looked up once, a digest (NAME@sha256:…) taken as it is",
    },
    tenant: { value: "TENANT", repeatable: true, summary: "machines of this tenant" },
    "all-tenants": { summary: "machines of all tenants of the app" },
    ...rolloutFlags,
    resume: { value: "ID", summary: "go on with this rollout" },
    "dry-run": { summary: "show the plan and change nothing" },
    json: { summary: "print events, one JSON object a line" },
    ...connectionFlags,
  },
  examples: [
    "fly-vault-admin tenant update-image --all-tenants --canary 2 --max-unavailable 10% \\\n      --image registry.fly.io/vault-tenants/init:v7",
    "fly-vault-admin tenant update-image --tenant acme --image IMAGE@sha256:… --dry-run",
    "fly-vault-admin tenant update-image --resume r-20261123-1",
  ],
  exitStatus:
    "0 all have the image; 3 no such tenant or rollout; 7 another rollout is not over; " +
    "8 rolled back, or only partly done; 130 after the second Ctrl-C",
  run: async ({ flags, global }, context) => {
    const output = { json: flags.json, quiet: global.quiet };
    const warn = async (words: string): Promise<void> =>
      context.stderr.write(`warning: ${words}\n`);
    const folder = `${stateDirectory(context.env)}/rollouts`;
    if (flags.resume !== undefined) {
      checkAlone(flags);
      const { resume: id, handshake } = flags;
      return runOnApi(context, async () => {
        const { api, base } = await openConnection(flags, context);
        const rollouts = await openRollouts(folder, { app: api.app, apiBase: base }, warn);
        const opened = await rollouts.resume(id, new Date(context.wallMs()), async (state) => {
          if (state.plan.options.handshake && handshake !== false)
            await checkReachable(api, state.machines);
        });
        const planned = opened.state.plan.options;
        const options = { ...planned, handshake: planned.handshake && handshake !== false };
        return runRollout(api, { ...opened, options }, output, context);
      });
    }
    const selected = checkSelection(flags);
    const numbers = parseRolloutNumbers(flags);
    return runOnApi(context, async () => {
      const { api, base, token } = await openConnection(flags, context);
      const image = await pinImage(selected.image, { token });
      const machines = await selectedMachines(api, selected.tenants);
      const plan = planRollout(machines, image, numbers.options.canary);
      const noHandshake =
        flags.handshake === false ? "--no-handshake" : unreachableReason(machines);
      if (flags.handshake === true && noHandshake !== undefined)
        throw new Failure("FV-CLI-001", "--handshake cannot be done", { because: noHandshake });
      const options = {
        ...numbers.options,
        canary: plan.canaries,
        unavailableMax: numbers.unavailableMax(plan.targets.length),
        handshake: noHandshake === undefined,
      };
      const running = new Set(plan.targets.map(({ id }) => id));
      for (const id of plan.stopped) running.delete(id);
      const asked = machines.filter(({ id }) => running.has(id));
      const sessions = await countSessions(api, asked, async (ms) =>
        systemClock.sleep(ms, undefined),
      );
      await showPlan({ app: api.app, plan, options, noHandshake, sessions }, output, context);
      if (flags["dry-run"]) return 0;
      if (plan.targets.length === 0) return nothingToDo(plan, output, context);
      // Whoever does not like the plan has had Ctrl-C.
      await api.pause(0);
      const rollouts = await openRollouts(folder, { app: api.app, apiBase: base }, warn);
      const mark = Buffer.from(context.randomBytes(8)).toString("hex");
      const opened = await rollouts.begin(
        { image, options, plan, mark },
        new Date(context.wallMs()),
      );
      return runRollout(api, { ...opened, options }, output, context);
    });
  },
});

interface Selection {
  readonly image: string;
  /** Undefined: all of them. */
  readonly tenants: readonly string[] | undefined;
}

function checkSelection(flags: {
  readonly image: string | undefined;
  readonly tenant: readonly string[];
  readonly "all-tenants": boolean;
}): Selection {
  if (flags.image === undefined) throw new UsageError("--image IMAGE is missing, or --resume ID");
  if (flags["all-tenants"] && flags.tenant.length > 0)
    throw new UsageError("--all-tenants and --tenant exclude each other");
  if (!flags["all-tenants"] && flags.tenant.length === 0)
    throw new UsageError("name tenants with --tenant TENANT, or say --all-tenants");
  const tenants = [...new Set(flags.tenant.map(checkTenantId))];
  return { image: flags.image, tenants: flags["all-tenants"] ? undefined : tenants };
}

/** A rollout that is resumed knows all the rest. */
function checkAlone(flags: Readonly<Record<string, unknown>>): void {
  const others = ["image", "tenant", "all-tenants", "dry-run", ...Object.keys(rolloutFlags)];
  const said = others.find((name) => {
    const value = flags[name];
    const absent = value === undefined || value === false;
    return name !== "handshake" && !(absent || (Array.isArray(value) && value.length === 0));
  });
  if (said !== undefined) throw new UsageError(`--${said} cannot be said with --resume`);
}

async function selectedMachines(
  api: MachinesApi,
  tenants: readonly string[] | undefined,
): Promise<FlyMachine[]> {
  const machines: FlyMachine[] = [];
  if (tenants === undefined) machines.push(...(await managedMachines(api)));
  for (const tenant of tenants ?? []) {
    const own = await managedMachinesForSure(api, tenant);
    if (own.length === 0)
      throw new Failure("FV-ADM-002", `no tenant "${tenant}" in app "${api.app}"`, {
        fix: "fly-vault-admin tenant list",
      });
    machines.push(...own);
  }
  if (machines.length <= rolloutLimits.machinesMax) return machines;
  throw new Failure("FV-CLI-001", `${machines.length} machines are too many for one rollout`, {
    because: `at most ${rolloutLimits.machinesMax}`,
    fix: "name tenants with --tenant",
  });
}

async function checkReachable(
  api: MachinesApi,
  planned: ReadonlyMap<string, unknown>,
): Promise<void> {
  const machines = (await managedMachines(api)).filter(({ id }) => planned.has(id));
  const reason = unreachableReason(machines);
  if (reason === undefined) return;
  throw new Failure("FV-CLI-001", "this rollout shakes hands with init, and cannot do so here", {
    because: reason,
    fix: "resume it where it was begun, or add --no-handshake",
  });
}

async function showPlan(
  outlook: PlanOutlook,
  output: { readonly json: boolean; readonly quiet: boolean },
  context: Context,
): Promise<void> {
  await context.stdout.write(
    output.json ? `${JSON.stringify(planJson(outlook))}\n` : planText(outlook),
  );
}

async function nothingToDo(
  plan: RolloutPlan,
  output: { readonly json: boolean },
  context: Context,
): Promise<number> {
  if (plan.silent.length > 0)
    throw new Failure("FV-ADM-004", `${counted(plan.silent.length, "machine")} left out`, {
      because: `their hosts do not answer: ${plan.silent.join(", ")}`,
      fix: "run the same command again when they do",
    });
  if (output.json) await context.stdout.write(jsonResult("tenant-update-image", { exit: 0 }));
  else await context.stderr.write("nothing to do\n");
  return 0;
}
