import { defineCommand } from "../../cli/command.ts";
import { generateToken } from "../../fly/token.ts";

export const tokenGenerate = defineCommand({
  name: "token generate",
  summary: "Print a new access token, for a tenant's machines and its vault entry",
  examples: ["fly-vault-admin token generate > acme.token"],
  run: async (_, context) => {
    await context.stdout.write(`${generateToken(context.randomBytes(32))}\n`);
    return 0;
  },
});
