import * as v from "valibot";
import type { Context } from "../../../cli/context.ts";
import { defineCommand } from "../../../cli/command.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { clientLimits } from "../limits.ts";
import { type LinkPlan, linkPlanSchema } from "./link-message.ts";

/** Only we say it, to ourselves: the plan comes over standard input, "ready" goes to standard output. */
export const linkServe = defineCommand({
  name: "link serve",
  summary: "Hold the attested link of a vault for the commands that come",
  hidden: true,
  positionals: { vault: { name: "VAULT" } },
  run: async (_options, context) => {
    const plan = await readPlan(context);
    // Loads QUIC, which no other start of the program is to wait for.
    const { serveLink } = await import("./link-daemon.ts");
    return serveLink(plan, context);
  },
});

async function readPlan(context: Context): Promise<LinkPlan> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of context.stdin.read()) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > clientLimits.linkPlanBytesMax) throw new UsageError("the plan is too long");
  }
  try {
    return v.parse(linkPlanSchema, JSON.parse(Buffer.concat(chunks).toString()));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof v.ValiError)
      throw new UsageError("only fly-vault itself starts this");
    throw error;
  }
}
