import { basename } from "node:path";
import type { Context } from "./cli/context.ts";
import { processContext } from "./cli/process-context.ts";

type Main = (argv: readonly string[], context: Context) => Promise<number>;
type Role = "client" | "admin" | "init" | "proxy" | "local";

/** Each role is loaded only when it is the one that runs: start-up time is the client's first feature. */
const mains: Record<Role, () => Promise<{ readonly main: Main }>> = {
  client: async () => import("./roles/client/main.ts"),
  admin: async () => import("./roles/admin/main.ts"),
  init: async () => import("./roles/init/main.ts"),
  proxy: async () => import("./roles/proxy/main.ts"),
  local: async () => import("./roles/local/main.ts"),
};

const programNames: Record<string, Role> = {
  "fly-vault-admin": "admin",
  init: "init",
  "fly-vault-init": "init",
  "vault-proxy": "proxy",
  "fly-local": "local",
};

const firstWords: Record<string, Role> = {
  admin: "admin",
  init: "init",
  proxy: "proxy",
  local: "local",
};

/** The name the program was called by decides, else its first word; anything else is the client. */
function dispatch(
  argv0: string,
  words: readonly string[],
): { role: Role; argv: readonly string[] } {
  const named = lookUp(programNames, basename(argv0));
  const first = lookUp(firstWords, words[0] ?? "");
  // A file that bears the role's name, started again by its own path, is told the role as well.
  if (first !== undefined && (named ?? first) === first)
    return { role: first, argv: words.slice(1) };
  if (named !== undefined) return { role: named, argv: words };
  return { role: "client", argv: words };
}

/**
 * The executable starts reluctant to compile (`build/binary.ts`): most commands are over before that could pay.
 * One that lasts, and every other role, compiles as usual.
 */
function compileFreely(of: Role): void {
  if (of === "client") setTimeout(() => Bun.unsafe.setJITPolicy(1), shortCommandMs).unref();
  else Bun.unsafe.setJITPolicy(1);
}

const shortCommandMs = 100;

function lookUp(table: Record<string, Role>, key: string): Role | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

const { role, argv } = dispatch(process.argv0, process.argv.slice(2));
compileFreely(role);
const { main } = await mains[role]();
// To init a SIGHUP is an order, however it was started.
const context = processContext({ heedsNohup: role !== "init" });
context.exit(await main(argv, context));
