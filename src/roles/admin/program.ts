import type { Program } from "../../cli/command.ts";
import { loadAll } from "../../cli/lazy-program.ts";
import { commands } from "./commands.ts";

/** All of it, for help and documentation. */
export const program: Program = {
  name: "fly-vault-admin",
  summary: "Manages tenants' machines through the Fly Machines API",
  commands: await loadAll(commands),
  headings: {
    TENANTS: ["tenant", "token"],
    "THE APP": ["doctor", "orphans"],
    PROXIES: ["proxy-key"],
  },
  jsonOutputs: async () => (await import("./json-outputs.ts")).jsonOutputs,
};
