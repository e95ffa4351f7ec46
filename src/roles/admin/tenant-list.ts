import { defineCommand } from "../../cli/command.ts";
import { writeJsonArray } from "../../cli/json-array.ts";
import { renderTable } from "../../cli/table.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import { isUnfinished } from "./begun-tenant.ts";
import { connectionFlags, openConnection, runOnApi } from "./connection.ts";
import { maskSecrets } from "./secret-mask.ts";
import { checkTenantId, managedMachines } from "./tenant-id.ts";
import { imageOf, summarise, type TenantSummary, volumeIds } from "./tenant-summary.ts";
import { usageFact } from "./usage-fact.ts";

export const tenantList = defineCommand({
  name: "tenant list",
  summary: "Show the tenants of an app",
  flags: {
    tenant: { value: "TENANT", summary: "only this one" },
    wide: { summary: "one line per machine" },
    json: { summary: "everything Fly says, as JSON; secrets masked" },
    "show-secrets": { summary: "with --json: leave secrets readable" },
    ...connectionFlags,
  },
  examples: ["fly-vault-admin tenant list --wide", "fly-vault-admin tenant list --json"],
  run: async ({ flags }, context) => {
    const tenant = flags.tenant === undefined ? undefined : checkTenantId(flags.tenant);
    return runOnApi(context, async () => {
      const { api } = await openConnection(flags, context);
      const tenants = summarise(await managedMachines(api, tenant));
      if (flags.json) {
        const volumes = tenants.length === 0 ? [] : await api.listVolumes();
        const sizes = new Map(volumes.map((volume) => [volume.id, volume.size_gb ?? 0]));
        const rows = Iterator.from(tenants).map((each) => {
          const row = tenantJson(each, sizes);
          return flags["show-secrets"] ? row : maskSecrets(row);
        });
        await writeJsonArray(context.stdout, rows);
        return 0;
      }
      if (tenants.length === 0) {
        const what = tenant === undefined ? "no managed tenants" : `no tenant "${tenant}"`;
        await context.stderr.write(`${what} in app "${api.app}"\n`);
        return 0;
      }
      const shown = context.stdout.isTty ? shortImage : wholeImage;
      await context.stdout.write(
        flags.wide ? renderWide(tenants, shown) : renderShort(tenants, shown),
      );
      return 0;
    });
  },
});

/** A terminal's line has room for other things than a digest; in a pipe nothing is cut. */
function shortImage(image: string): string {
  return image.replace(/(sha256:[0-9a-f]{12})[0-9a-f]{52}$/u, "$1");
}

function wholeImage(image: string): string {
  return image;
}

type Shown = typeof wholeImage;

function renderShort(tenants: readonly TenantSummary[], shown: Shown): string {
  const isNoted = tenants.some(({ unfinished }) => unfinished > 0);
  return renderTable(
    ["TENANT", "MACHINES", "REGIONS", "IMAGE", "LAST UPDATED", ...(isNoted ? ["NOTE"] : [])],
    tenants.map((each) => [
      each.tenant,
      `${each.machines.length}/${each.started}/${each.stopped}`,
      each.regions.join(","),
      shown(each.image),
      each.lastUpdatedAt ?? "-",
      ...(each.unfinished === 0 ? [] : [`${each.unfinished} unfinished`]),
    ]),
  );
}

function renderWide(tenants: readonly TenantSummary[], shown: Shown): string {
  const rows = tenants.flatMap((tenant) =>
    tenant.machines.map((machine) => [
      tenant.tenant,
      machine.id,
      isUnfinished(machine) ? `${machine.state}, unfinished` : machine.state,
      machine.region ?? "-",
      shown(imageOf(machine)),
      volumeIds(machine).join(",") || "-",
    ]),
  );
  return renderTable(["TENANT", "MACHINE", "STATE", "REGION", "IMAGE", "VOLUMES"], rows);
}

/** The shape the first fly-vault-admin printed. */
function tenantJson(
  tenant: TenantSummary,
  volumeSizes: ReadonlyMap<string, number>,
): Record<string, unknown> {
  return {
    tenant_id: tenant.tenant,
    total: tenant.machines.length,
    started: tenant.started,
    stopped: tenant.stopped,
    other: tenant.other,
    ...(tenant.unfinished === 0 ? {} : { unfinished: tenant.unfinished }),
    regions: tenant.regions,
    image: tenant.image,
    last_updated_at: tenant.lastUpdatedAt,
    machines: tenant.machines.map((machine) => machineJson(machine, volumeSizes)),
  };
}

function machineJson(
  machine: FlyMachine,
  volumeSizes: ReadonlyMap<string, number>,
): Record<string, unknown> {
  return {
    id: machine.id,
    name: machine.name,
    state: machine.state,
    ...(isUnfinished(machine) ? { unfinished: true } : {}),
    region: machine.region,
    instance_id: machine.instance_id,
    private_ip: machine.private_ip,
    created_at: machine.created_at,
    updated_at: machine.updated_at,
    image: imageOf(machine),
    image_ref: machine.image_ref,
    volumes: volumeIds(machine),
    usage_fact: usageFact(machine, volumeSizes),
    config: machine.config ?? machine.incomplete_config ?? null,
    checks: machine["checks"],
  };
}
