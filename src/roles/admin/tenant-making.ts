import { jsonDocument } from "../../cli/json-document.ts";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { MachinesApiError } from "../../fly/api-error.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { admissionKeysText } from "./admission-keys.ts";
import { apiErrorLine, apiFailure } from "./api-failure.ts";
import type { CreationJournal } from "./creation-journal.ts";
import { writeInvites } from "./invite-output.ts";
import type { Settling } from "./machine-settling.ts";
import type { PlannedMachine } from "./plan.ts";
import type { ProxyAccess } from "./proxy-access.ts";
import { type MadeMachine, TenantMaker } from "./tenant-maker.ts";
import { renderVaultBlock, type VaultEntry, vaultEntry, vaultJson } from "./vault-block.ts";
import { VolumeClaims } from "./volume-claims.ts";

export interface Making {
  readonly api: MachinesApi;
  readonly context: Context;
  readonly tenant: string;
  readonly machines: readonly PlannedMachine[];
  /** By number, those that an earlier run made. */
  readonly begun: ReadonlyMap<number, FlyMachine>;
  readonly runId: string;
  readonly journal: CreationJournal;
  readonly newVolumes: boolean;
  readonly accessToken: string;
  readonly proxy: ProxyAccess | undefined;
  readonly settling: Settling;
  readonly place: Pick<VaultEntry, "org" | "app" | "issuer">;
  readonly json: boolean;
  readonly inviteFile?: string | undefined;
}

/**
 * Makes what is not there yet. All or nothing: on any failure, an interruption too, what was made is
 * removed. Showing it is part of that: nobody could ever log in to a machine whose token went nowhere.
 */
export async function makeTenant(making: Making): Promise<void> {
  const { api, journal, machines, begun, proxy, settling } = making;
  const volumes = machines.some((each) => each.volumes.length > 0) ? await api.listVolumes() : [];
  const claims = new VolumeClaims({
    before: journal.volumesBefore,
    made: journal.volumesMade,
    asked: journal.asked,
    volumes,
    evenSo: making.newVolumes,
  });
  const maker = new TenantMaker({
    api,
    journal,
    claims,
    note: async (line) => making.context.stderr.write(`${line}\n`),
    keysOf: proxy && ((machineId) => admissionKeysText(proxy.masters, machineId)),
  });
  const isResumed = journal.runId !== undefined;
  await journal.begin(making.runId, [...claims.before]);
  try {
    for (const planned of machines) {
      const machine = begun.get(planned.index);
      if (machine === undefined) await maker.make(planned);
      else await maker.adopt(planned, machine);
    }
    if (settling.waitMs > 0) await maker.waitForStart(settling);
    const entries = entriesOf(maker.machines, making);
    await making.context.stdout.write(renderMade(entries, making.json));
    const { inviteFile: file, json } = making;
    await writeInvites(entries, { file, json }, making.context);
    await maker.releaseLeases();
  } catch (error) {
    const left = await maker.undo();
    if (left.length > 0) throw somethingLeft(error, left, making.tenant);
    // What the run before made may not have been reached this time.
    if (!isResumed) await journal.close();
    throw error;
  }
  await finish(maker, making);
}

/** The machines are made and shown: nothing that fails now is a reason to remove them. */
async function finish(maker: TenantMaker, { journal, context }: Making): Promise<void> {
  await journal.close();
  try {
    await maker.markFinished();
  } catch (error) {
    if (!(error instanceof MachinesApiError)) throw error;
    await context.stderr.write(
      `warning: all is made, but not yet marked so: ${apiErrorLine(error)}; the same command again does it\n`,
    );
  }
}

function entriesOf(machines: readonly MadeMachine[], making: Making): VaultEntry[] {
  const { proxy, accessToken } = making;
  const place = { ...making.place, proxy: proxy?.address };
  return machines.map(({ machine, planned }) => {
    const { vaultName: name } = planned;
    // The newest of them: older ones are for clients that are there already.
    const admissionKey = proxy && admissionKeysText(proxy.masters.slice(0, 1), machine.id);
    const { config } = planned.machine;
    return vaultEntry({ name, machine, config, admissionKey, accessToken }, place);
  });
}

function renderMade(entries: readonly VaultEntry[], json: boolean): string {
  if (!json) return entries.map(renderVaultBlock).join("\n");
  const data = entries.map(vaultJson);
  return jsonDocument("tenant-create", data);
}

function somethingLeft(error: unknown, left: readonly string[], tenant: string): Failure {
  const told = error instanceof MachinesApiError ? apiFailure(error) : error;
  const cause =
    told instanceof Failure
      ? [told.message, told.because].filter((each) => each !== undefined).join(": ")
      : String(told);
  return new Failure("FV-ADM-004", `tenant "${tenant}" was not made, and something is left`, {
    because: `${cause}; left behind: ${left.join("; ")}`,
    fix: "run the same command again to go on, or remove these: fly machine destroy --force ID, fly volume destroy ID",
  });
}
