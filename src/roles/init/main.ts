import type { Context } from "../../cli/context.ts";
import { bootWorkload } from "./workload-boot.ts";

export async function main(argv: readonly string[], context: Context): Promise<number> {
  const [role = "", ...words] = argv;
  if (role === "workload") return bootWorkload(words[0] ?? "");
  return 2;
}
