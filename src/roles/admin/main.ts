import type { Program } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { runProgram } from "../../cli/program.ts";
import { doctorCommand } from "./doctor.ts";
import { orphansCommand } from "./orphans.ts";
import { proxyKeyNew, proxyKeyRetire, proxyKeyRotate } from "./proxy-key-change.ts";
import { proxyKeyDerive, proxyKeyOpen } from "./proxy-key-derive.ts";
import { proxyKeyShow } from "./proxy-key-show.ts";
import { tenantApply } from "./tenant-apply.ts";
import { tenantCreate } from "./tenant-create.ts";
import { tenantDelete } from "./tenant-delete.ts";
import { tenantDiff } from "./tenant-diff.ts";
import { tenantList } from "./tenant-list.ts";
import { tenantRekey } from "./tenant-rekey.ts";
import { tenantRotateToken } from "./tenant-rotate-token.ts";
import { tenantUsageFacts } from "./tenant-usage-facts.ts";
import { tokenGenerate } from "./token-generate.ts";
import { tenantUpdateImage } from "./update-image.ts";

/** Exported for the documentation. */
export const program: Program = {
  name: "fly-vault-admin",
  summary: "Manages tenants' machines through the Fly Machines API",
  commands: [
    tenantCreate,
    tenantApply,
    tenantDiff,
    tenantList,
    tenantDelete,
    tenantRekey,
    tenantUpdateImage,
    tenantRotateToken,
    tenantUsageFacts,
    doctorCommand,
    orphansCommand,
    { ...orphansCommand, name: "tenant orphans", hidden: true },
    tokenGenerate,
    proxyKeyNew,
    proxyKeyRotate,
    proxyKeyRetire,
    proxyKeyShow,
    proxyKeyDerive,
    proxyKeyOpen,
  ],
  headings: {
    TENANTS: ["tenant", "token"],
    "THE APP": ["doctor", "orphans"],
    PROXIES: ["proxy-key"],
  },
  jsonOutputs: async () => (await import("./json-outputs.ts")).jsonOutputs,
};

export async function main(argv: readonly string[], context: Context): Promise<number> {
  return runProgram(program, commandFirst(argv), context);
}

const leadingFlags = ["--api-token", "--api-token-file", "--app", "-a", "--api-base"];

/** The first fly-vault-admin took these before the command, too; there they are put behind it. */
function commandFirst(argv: readonly string[]): string[] {
  const moved: string[] = [];
  const rest = [...argv];
  for (;;) {
    const [word = ""] = rest;
    if (leadingFlags.includes(word)) moved.push(...rest.splice(0, 2));
    else if (leadingFlags.some((flag) => word.startsWith(`${flag}=`)))
      moved.push(...rest.splice(0, 1));
    else return [...rest.slice(0, 2), ...moved, ...rest.slice(2)];
  }
}
