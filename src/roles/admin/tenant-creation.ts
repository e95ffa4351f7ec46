import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import { generateToken } from "../../fly/token.ts";
import { byNumber, checkSameTemplate, runIdOf } from "./begun-tenant.ts";
import type { Connection } from "./connection.ts";
import type { CreationJournal } from "./creation-journal.ts";
import type { Settling } from "./machine-settling.ts";
import { organisation } from "./organisation.ts";
import type { PlannedMachine } from "./plan.ts";
import type { ProxyAccess } from "./proxy-access.ts";
import { makeTenant } from "./tenant-making.ts";
import type { TenantOrder } from "./tenant-order.ts";
import { recoverToken, unknownToken } from "./token-recovery.ts";
import { localIssuer } from "./vault-block.ts";

interface Setup extends Pick<Connection, "api" | "base"> {
  readonly context: Context;
  readonly journal: CreationJournal;
  readonly proxy: ProxyAccess | undefined;
  readonly settling: Settling;
  readonly newVolumes: boolean;
  readonly org: string | undefined;
  readonly json: boolean;
  readonly inviteFile?: string | undefined;
}

/** Makes the tenant, or what is missing of one that an earlier run began. */
export async function createTenant(
  order: TenantOrder,
  begun: readonly FlyMachine[],
  setup: Setup,
): Promise<void> {
  const { api, journal, context } = setup;
  const accessToken = tokenOf(order, begun, context);
  const runId = runIdOf(begun) ?? journal.runId ?? newRunId(context);
  const { machines } = order.plan(accessToken, runId);
  const numbered = byNumber(begun);
  if (begun.length > 0) {
    const volumes = await api.listVolumes();
    const secrets = [...order.secrets, accessToken];
    checkSameTemplate(order.tenant, numbered, { machines, volumes, secrets });
  }
  await makePlanned(order, { machines, begun: numbered, runId, accessToken }, setup);
}

/** Makes these machines of a tenant that has others. */
export async function addMachines(
  order: TenantOrder,
  wanted: { readonly indices: ReadonlySet<number>; readonly accessToken: string },
  begun: readonly FlyMachine[],
  setup: Setup,
): Promise<void> {
  const { accessToken, indices } = wanted;
  const runId = runIdOf(begun) ?? setup.journal.runId ?? newRunId(setup.context);
  const planned = order.plan(accessToken, runId).machines;
  const machines = planned.filter(({ index }) => indices.has(index));
  await makePlanned(order, { machines, begun: byNumber(begun), runId, accessToken }, setup);
}

async function makePlanned(
  { tenant }: TenantOrder,
  plan: {
    readonly machines: readonly PlannedMachine[];
    readonly begun: ReadonlyMap<number, FlyMachine>;
    readonly runId: string;
    readonly accessToken: string;
  },
  { base, org: wishedOrg, ...setup }: Setup,
): Promise<void> {
  const { api, context } = setup;
  const org = wishedOrg ?? (await organisation(api, context));
  const place = { app: api.app, org, issuer: await localIssuer(base, org) };
  await makeTenant({ ...setup, ...plan, tenant, place });
}

function newRunId(context: Context): string {
  return Buffer.from(context.randomBytes(8)).toString("hex");
}

/** What was begun with a token is gone on with the same one. */
function tokenOf(order: TenantOrder, begun: readonly FlyMachine[], context: Context): string {
  const [planned] = order.plan(unknownToken, "").machines;
  const known = begun
    .map((machine) => planned && recoverToken(planned, machine))
    .find((token) => token !== undefined);
  if (order.accessToken === undefined || known === undefined)
    return order.accessToken ?? known ?? generateToken(context.randomBytes(32));
  if (known === order.accessToken) return known;
  const { tenant } = order;
  throw new Failure("FV-ADM-003", `tenant "${tenant}" was begun with another access token`, {
    because: `machine ${begun[0]?.id ?? ""} has it`,
    fix: `leave the token out to go on with that one, or remove what was begun: fly-vault-admin tenant delete ${tenant}`,
  });
}
