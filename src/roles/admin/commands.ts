import type { CommandLoaders } from "../../cli/lazy-program.ts";

/** In the order of `--help`. Each is loaded when it is the one that runs. */
export const commands: CommandLoaders = {
  "tenant create": async () => (await import("./tenant-create.ts")).tenantCreate,
  "tenant apply": async () => (await import("./tenant-apply.ts")).tenantApply,
  "tenant diff": async () => (await import("./tenant-diff.ts")).tenantDiff,
  "tenant list": async () => (await import("./tenant-list.ts")).tenantList,
  "tenant delete": async () => (await import("./tenant-delete.ts")).tenantDelete,
  "tenant rekey": async () => (await import("./tenant-rekey.ts")).tenantRekey,
  "tenant update-image": async () => (await import("./update-image.ts")).tenantUpdateImage,
  "tenant rotate-token": async () => (await import("./tenant-rotate-token.ts")).tenantRotateToken,
  "tenant usage-facts": async () => (await import("./tenant-usage-facts.ts")).tenantUsageFacts,
  doctor: async () => (await import("./doctor.ts")).doctorCommand,
  orphans: async () => (await import("./orphans.ts")).orphansCommand,
  "tenant orphans": async () => ({
    ...(await import("./orphans.ts")).orphansCommand,
    name: "tenant orphans",
    hidden: true,
  }),
  "token generate": async () => (await import("./token-generate.ts")).tokenGenerate,
  "proxy-key new": async () => (await import("./proxy-key-change.ts")).proxyKeyNew,
  "proxy-key rotate": async () => (await import("./proxy-key-change.ts")).proxyKeyRotate,
  "proxy-key retire": async () => (await import("./proxy-key-change.ts")).proxyKeyRetire,
  "proxy-key show": async () => (await import("./proxy-key-show.ts")).proxyKeyShow,
  "proxy-key derive": async () => (await import("./proxy-key-derive.ts")).proxyKeyDerive,
  "proxy-key open": async () => (await import("./proxy-key-derive.ts")).proxyKeyOpen,
};
