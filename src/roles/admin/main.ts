import { type LazyProgram, runLazily } from "../../cli/lazy-program.ts";
import type { Context } from "../../cli/context.ts";
import { commands } from "./commands.ts";

const lazyProgram: LazyProgram = {
  name: "fly-vault-admin",
  commands,
  whole: async () => (await import("./program.ts")).program,
};

export async function main(argv: readonly string[], context: Context): Promise<number> {
  return runLazily(lazyProgram, commandFirst(argv), context);
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
