import type { Context } from "../../cli/context.ts";
import { MachinesApiError } from "../../fly/api-error.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";

/** Clients name the organisation; the app knows it, except where Fly says "personal" for it. */
export async function organisation(api: MachinesApi, context: Context): Promise<string> {
  const slug = await readOrganisation(api);
  if (slug !== undefined && slug !== "personal") return slug;
  await context.stderr.write(
    `warning: Fly does not tell the organisation's own name here; put it into "org", or pass --org\n`,
  );
  return slug ?? "your-org";
}

/** Some tokens may make machines and not read their app. */
async function readOrganisation(api: MachinesApi): Promise<string | undefined> {
  try {
    return await api.readOrganisation();
  } catch (error) {
    const denied = ["not-found", "unauthorised", "refused"];
    if (error instanceof MachinesApiError && denied.includes(error.kind)) return undefined;
    throw error;
  }
}
