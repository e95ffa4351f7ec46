import * as v from "valibot";
import type { Report } from "../../../protocol/message.ts";
import type { LinkLogin } from "../link/attested-link.ts";

const space = v.nullable(v.object({ total_bytes: v.number(), available_bytes: v.number() }));

/** What `status --json` prints. Members may be added; one that changes or goes needs another version. */
export const vaultStatusSchema = v.object({
  schema: v.literal("fly-vault/status"),
  version: v.literal(1),
  data: v.object({
    vault: v.string(),
    machine_id: v.string(),
    region: v.nullable(v.string()),
    image: v.nullable(v.string()),
    image_digest: v.nullable(v.string()),
    state: v.picklist(["cold", "provisioning", "ready"]),
    runtime: v.string(),
    init_version: v.string(),
    link_version: v.nullable(v.string()),
    rootfs_sha256: v.nullable(v.string()),
    rolled_back: v.nullable(v.object({ sha256: v.nullable(v.string()), because: v.string() })),
    uptime_ms: v.number(),
    sessions_running: v.number(),
    sessions_attached: v.number(),
    idle: v.nullable(v.object({ stop_after_ms: v.number(), idle_ms: v.number() })),
    load: v.number(),
    disk: space,
    memory: space,
  }),
});

export function vaultStatusJson(
  vault: string,
  { machine, status }: LinkLogin,
  report: Report,
): string {
  const { rolled_back: rolledBack } = status;
  const document: v.InferOutput<typeof vaultStatusSchema> = {
    schema: "fly-vault/status",
    version: 1,
    data: {
      vault,
      machine_id: machine.machineId,
      region: machine.region ?? null,
      image: machine.image ?? null,
      image_digest: machine.imageDigest ?? null,
      state: status.vm_state,
      runtime: status.runtime,
      init_version: status.init_version,
      link_version: status.link_version ?? null,
      rootfs_sha256: status.rootfs_sha256 ?? null,
      rolled_back:
        rolledBack === undefined
          ? null
          : { sha256: rolledBack.sha256 ?? null, because: rolledBack.because },
      uptime_ms: report.uptime_ms,
      sessions_running: report.sessions_running,
      sessions_attached: report.sessions_attached,
      idle: report.idle ?? null,
      load: report.load,
      disk: report.disk ?? null,
      memory: report.memory ?? null,
    },
  };
  return `${JSON.stringify(document)}\n`;
}
