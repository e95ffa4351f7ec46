import { type LazyProgram, runLazily } from "../../cli/lazy-program.ts";
import type { Context } from "../../cli/context.ts";
import { commands } from "./commands.ts";

const lazyProgram: LazyProgram = {
  name: "fly-vault",
  commands,
  whole: async () => (await import("./program.ts")).program,
};

export async function main(argv: readonly string[], context: Context): Promise<number> {
  return runLazily(lazyProgram, argv, context);
}
